use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::arm::aks::place;
use crate::arm::json::{object, text};
use crate::arm::kind::Kind;
use crate::arm::network::{first_free, subnet_nets, used_in};
use crate::arm::operation;
use crate::arm::store::{Arm, Resource, name_of, parent_id};
use crate::event::AksNode;

/// Digits of an instance's number in its host name.
const DIGITS: usize = 6;

/// An instance of a scale set that is to be made.
pub(super) struct Instance<'a> {
    pub(super) set: &'a str,
    pub(super) name: &'a str,
    pub(super) index: u64,
    pub(super) subnet: &'a str,
    pub(super) size: &'a str,
    pub(super) location: &'a str,
}

/// Makes an instance at the first free address.
pub(super) fn build_instance(arm: &mut Arm, instance: &Instance<'_>, now: Timestamp) {
    let taken: Vec<Ipv4Addr> = used_in(arm, instance.subnet).into_iter().map(|(_, address)| address).collect();
    let net = Ipv4Net::new_assert(Ipv4Addr::new(10, 224, 0, 0), 16);
    let Some(address) = first_free(net, &taken) else { return };
    let computer = format!("{}{}", instance.name, base36(instance.index));
    build_at(arm, instance, &computer, address, now);
}

fn build_at(arm: &mut Arm, instance: &Instance<'_>, computer: &str, address: Ipv4Addr, now: Timestamp) {
    let Instance { set, name, index, subnet, size, location } = instance;
    let id = format!("{set}/virtualMachines/{index}");
    let nic = format!("{id}/networkInterfaces/{name}");
    let machine = json!({
        "latestModelApplied": true,
        "modelDefinitionApplied": "VirtualMachineScaleSet",
        "hardwareProfile": { "vmSize": size },
        "osProfile": { "computerName": computer, "adminUsername": "azureuser" },
        "networkProfile": { "networkInterfaces": [{ "id": nic }] },
    });
    place(arm, &id, Kind::ScaleSetVm, location, object(machine), now);
    if let Some(resource) = arm.find_mut(&id) {
        resource.name = format!("{name}_{index}");
        resource.top.insert("instanceId".to_owned(), json!(index.to_string()));
        resource.top.insert("sku".to_owned(), json!({ "name": size, "tier": "Standard" }));
    }
    let interface = json!({
        "enableIPForwarding": true,
        "enableAcceleratedNetworking": true,
        "primary": true,
        "virtualMachine": { "id": id },
        "ipConfigurations": [{
            "name": "ipconfig1",
            "properties": {
                "privateIPAddress": address.to_string(),
                "privateIPAllocationMethod": "Dynamic",
                "subnet": { "id": subnet },
                "primary": true,
                "privateIPAddressVersion": "IPv4",
            },
        }],
    });
    place(arm, &nic, Kind::ScaleSetNic, location, object(interface), now);
}

/// Scale sets count their instances' host names in six digits of base 36.
fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    for _ in 0..DIGITS {
        digits.push(
            char::from_digit(u32::try_from(number % 36).unwrap_or_default(), 36).unwrap_or('0').to_ascii_uppercase(),
        );
        number /= 36;
    }
    digits.iter().rev().collect()
}

/// The scale set has grown by a node of this name at this address: the node as the stream of events has it, its pods'
/// addresses left empty. Nothing without a scale set.
///
/// The error says why there cannot be such a node.
pub(crate) fn add_instance(arm: &mut Arm, node: &str, address: &str) -> Result<Option<AksNode>, String> {
    let ip: Ipv4Addr = address.parse().map_err(|_| format!("{address:?} is no IPv4 address"))?;
    let Some(set) = scale_set(arm, node) else { return Ok(None) };
    let subnet = subnet_of(&set).and_then(|id| arm.find(id)).cloned();
    let subnet = subnet.ok_or_else(|| format!("scale set {} has no subnet", set.name))?;
    if machine_called(arm, node).is_some() {
        return Err(format!("instance {node} is there already"));
    }
    if let Some((user, _)) = used_in(arm, &subnet.id).into_iter().find(|(_, taken)| *taken == ip) {
        return Err(format!("address {ip} is taken by {user}"));
    }
    let size = set.top.get("sku").and_then(|sku| text(sku, &["name"])).unwrap_or_default().to_owned();
    let index = index_of(arm, &set, node);
    let wanted =
        Instance { set: &set.id, name: &set.name, index, subnet: &subnet.id, size: &size, location: set.location() };
    build_at(arm, &wanted, node, ip, Timestamp::now());
    count(arm, &set);
    Ok(Some(AksNode {
        name: node.to_owned(),
        id: format!("{}/virtualMachines/{index}", set.id),
        network: name_of(parent_id(&subnet.id)).to_owned(),
        subnet: subnet.name.clone(),
        subnet_prefix: subnet_nets(&subnet).first().map(ToString::to_string).unwrap_or_default(),
        private_ip: address.to_owned(),
        pod_cidr: String::new(),
    }))
}

/// The scale set has shrunk by a node of this name; `false` if there is none.
pub(crate) fn remove_instance(arm: &mut Arm, node: &str) -> bool {
    let Some(machine) = machine_called(arm, node) else { return false };
    operation::remove(arm, &machine.id);
    if let Some(set) = arm.find(parent_id(&machine.id)).cloned() {
        count(arm, &set);
    }
    true
}

/// The one that has given the node its name, or else the first.
fn scale_set(arm: &Arm, node: &str) -> Option<Resource> {
    let mut sets = arm.of_kind(Kind::ScaleSet);
    let by_name = arm.of_kind(Kind::ScaleSet).find(|set| node.starts_with(&set.name));
    by_name.or_else(|| sets.next()).cloned()
}

fn subnet_of(set: &Resource) -> Option<&str> {
    let configuration = set.properties.get("virtualMachineProfile")?.pointer(
        "/networkProfile/networkInterfaceConfigurations/0/properties/ipConfigurations/0/properties/subnet/id",
    )?;
    configuration.as_str()
}

fn machine_called(arm: &Arm, node: &str) -> Option<Resource> {
    let is_called = |machine: &&Resource| {
        let name = machine.properties.get("osProfile").and_then(|profile| text(profile, &["computerName"]));
        name.is_some_and(|name| name.eq_ignore_ascii_case(node))
    };
    arm.of_kind(Kind::ScaleSetVm).find(is_called).cloned()
}

/// What the host name counts, or else the number after the highest: numbers of instances that are gone are not given again.
fn index_of(arm: &Arm, set: &Resource, node: &str) -> u64 {
    let number = |machine: &Resource| name_of(&machine.id).parse::<u64>().ok();
    let taken: Vec<u64> = arm.below(&set.id, Kind::ScaleSetVm).into_iter().filter_map(number).collect();
    let digits = node.strip_prefix(set.name.as_str()).filter(|digits| digits.len() == DIGITS);
    let named = digits.and_then(|digits| u64::from_str_radix(digits, 36).ok()).filter(|index| !taken.contains(index));
    named.unwrap_or_else(|| taken.iter().max().map_or(0, |highest| highest + 1))
}

/// Lets the scale set and its pool say how many instances there are.
fn count(arm: &mut Arm, set: &Resource) {
    let instances = arm.below(&set.id, Kind::ScaleSetVm).len();
    let pool = set.top.get("tags").and_then(|tags| text(tags, &["aks-managed-poolName"])).map(str::to_owned);
    if let Some(sku) = arm.find_mut(&set.id).and_then(|set| set.top.get_mut("sku")).and_then(Value::as_object_mut) {
        sku.insert("capacity".to_owned(), json!(instances));
    }
    let pools = arm.resources.values_mut().filter(|resource| resource.kind == Kind::AgentPool);
    for pool in pools.filter(|resource| Some(&resource.name) == pool.as_ref()) {
        pool.properties.insert("count".to_owned(), json!(instances));
    }
}
