use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::arm::aks::{
    ClusterNames, NewInstance, index_of, instance_count, instance_named, new_cluster, new_instance, node_group,
    scale_set_of, subnet_of,
};
use crate::arm::behaviour::Consequences;
use crate::arm::consequences::{perform, remove};
use crate::arm::json::text;
use crate::arm::network::{subnet_nets, used_in};
use crate::arm::store::{Arm, ArmResourceType, StoredResource, name_of, parent_id};
use crate::event::AksNodeSpec;

/// Creates a cluster with two nodes and its node group, as if it had been there before the world
/// was opened.
pub(crate) fn build_cluster(arm: &mut Arm, [group, name, location]: [&str; 3], names: &ClusterNames, now: Timestamp) {
    let (id, consequences) = new_cluster(arm, group, name, location, now);
    perform(arm, consequences);
    if let Some(cluster) = arm.find(&id) {
        let consequences = node_group(arm, cluster, names, now);
        perform(arm, consequences);
    }
}

/// Adds a node with this name and address to a scale set. Returns the node as events have it,
/// without the prefix of its pods, or `None` without a scale set.
///
/// # Errors
/// The text says why there cannot be such a node: its address is invalid or taken, or the name
/// exists.
pub(crate) fn add_instance(arm: &mut Arm, node: &str, address: &str) -> Result<Option<AksNodeSpec>, String> {
    let ip: Ipv4Addr = address.parse().map_err(|_| format!("{address:?} is no IPv4 address"))?;
    let Some(set) = scale_set_of(arm, node) else { return Ok(None) };
    let subnet = subnet_of(&set).and_then(|id| arm.find(id)).cloned();
    let subnet = subnet.ok_or_else(|| format!("scale set {} has no subnet", set.name))?;
    if instance_named(arm, node).is_some() {
        return Err(format!("instance {node} is there already"));
    }
    if let Some((user, _)) = used_in(arm, &subnet.id).into_iter().find(|(_, taken)| *taken == ip) {
        return Err(format!("address {ip} is taken by {user}"));
    }
    let size = set.top.get("sku").and_then(|sku| text(sku, &["name"])).unwrap_or_default().to_owned();
    let index = index_of(arm, &set, node);
    let instance =
        NewInstance { set: &set.id, name: &set.name, index, subnet: &subnet.id, size: &size, location: set.location() };
    let new = new_instance(&instance, node, ip, Timestamp::now()).into();
    perform(arm, Consequences { new, ..Consequences::default() });
    update_count(arm, &set);
    Ok(Some(AksNodeSpec {
        name: node.to_owned(),
        id: format!("{}/virtualMachines/{index}", set.id),
        network: name_of(parent_id(&subnet.id)).to_owned(),
        subnet: subnet.name.clone(),
        subnet_prefix: subnet_nets(&subnet).first().map(ToString::to_string).unwrap_or_default(),
        private_ip: address.to_owned(),
        pod_cidr: String::new(),
    }))
}

/// Removes the node with this name from its scale set; returns `false` if there is none.
pub(crate) fn remove_instance(arm: &mut Arm, node: &str) -> bool {
    let Some(machine) = instance_named(arm, node) else { return false };
    remove(arm, &machine.id);
    if let Some(set) = arm.find(parent_id(&machine.id)).cloned() {
        update_count(arm, &set);
    }
    true
}

/// Stores the number of instances in the scale set and in its pool.
fn update_count(arm: &mut Arm, set: &StoredResource) {
    let instances = instance_count(arm, set);
    let pool = set.top.get("tags").and_then(|tags| text(tags, &["aks-managed-poolName"])).map(str::to_owned);
    if let Some(sku) = arm.find_mut(&set.id).and_then(|set| set.top.get_mut("sku")).and_then(Value::as_object_mut) {
        sku.insert("capacity".to_owned(), json!(instances));
    }
    let pools = arm.resources.values_mut().filter(|resource| resource.kind == ArmResourceType::AgentPool);
    for pool in pools.filter(|resource| Some(&resource.name) == pool.as_ref()) {
        pool.properties.insert("count".to_owned(), json!(instances));
    }
}
