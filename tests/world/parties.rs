//! Faults that other parties cause in a simulated deployment.

use serde_json::{Value, json};
use stargate_sim::{Sim, host::Machine};

use crate::{inputs::NODE_GROUP, outside};

/// Changes a machine and reports it to the tailnet.
pub(crate) fn on_machine(sim: &Sim, machine: &str, change: impl FnOnce(&mut Machine)) {
    let mut world = sim.shared().lock();
    let world = &mut *world;
    let machine = world.hosts.machines.get_mut(machine).unwrap();
    change(machine);
    machine.report(&mut world.tailnet);
}

/// Lets the node key of a router's device expire, or makes it valid again.
pub(crate) fn expire(sim: &Sim, router: &str, expired: bool) {
    let mut world = sim.shared().lock();
    let node = world.hosts.machines[router].tailscaled.node.clone();
    let device = world.tailnet.devices.values_mut().find(|device| Some(&device.node_id) == node.as_ref()).unwrap();
    device.key_expiry_disabled = !expired;
    if expired {
        device.expires = device.created;
    }
}

/// Writes a network resource of a group, as another party.
pub(crate) async fn write(sim: &Sim, group: &str, resource: &str, body: Value) {
    outside::change_azure(sim, "PUT", &outside::network(sim, group, resource), body).await;
}

pub(crate) async fn delete(sim: &Sim, group: &str, resource: &str) {
    outside::change_azure(sim, "DELETE", &outside::network(sim, group, resource), Value::Null).await;
}

const NODES_SUBNET: &str = "virtualNetworks/aks-vnet-11486953/subnets/aks-subnet";
const COMPANY_GROUP: &str = "networkSecurityGroups/corp-nodes-nsg";

/// Gives the nodes' subnet a security group of the company, or takes it away.
pub(crate) async fn associate_company_group(sim: &Sim, on: bool) {
    let group = outside::network(sim, NODE_GROUP, COMPANY_GROUP);
    if on {
        let rule = json!({ "priority": 4000, "direction": "Inbound", "access": "Deny", "protocol": "*",
            "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "*",
            "destinationPortRange": "*" });
        let rules = json!([{ "name": "deny-rest-in", "properties": rule }]);
        let body = json!({ "location": "canadacentral", "properties": { "securityRules": rules } });
        write(sim, NODE_GROUP, COMPANY_GROUP, body).await;
    }
    let mut subnet = outside::read_azure(sim, &outside::network(sim, NODE_GROUP, NODES_SUBNET)).await;
    let id = group.split('?').next().unwrap();
    subnet["properties"]["networkSecurityGroup"] = if on { json!({ "id": id }) } else { Value::Null };
    write(sim, NODE_GROUP, NODES_SUBNET, subnet).await;
}

/// Adds a device that is offline, with an approved route to pods.
pub(crate) fn add_offline_device(sim: &Sim) {
    let mut world = sim.shared().lock();
    let mut device = world.tailnet.devices.values().next().unwrap().clone();
    let prefix = "10.244.64.0/25".parse().unwrap();
    device.id += 1000;
    (device.node_id.0, device.hostname, device.label) = ("nOldCNTRL".into(), "old".into(), "old".into());
    (device.online, device.advertised, device.enabled) = (false, [prefix].into(), [prefix].into());
    world.tailnet.devices.insert(device.id, device);
}
