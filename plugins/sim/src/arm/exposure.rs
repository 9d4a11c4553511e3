use std::net::Ipv4Addr;

use serde_json::Value;

use crate::arm::fabric::{Fabric, fabric, fabric_nic, fabric_subnet, groups_of};
use crate::arm::json::{objects, reference};
use crate::arm::security_group::{Direction, Flow, Service};
use crate::arm::store::{Arm, ResourceType, StoredResource};

/// Where Azure sees this machine come from, whoever uses it: the world is on loopback, and this is a range for documentation.
pub(crate) const CLIENT_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

/// The public addresses that are open until a security group closes them; the others are closed until one opens them.
const OPEN_SKU: &str = "Basic";

/// Whether logins from this machine do not get to the NIC by its public address: no security group lets them in, or there is none
/// at all and the address is of a kind that needs one. Nothing while a group is being written: what was the case still is.
pub(crate) fn is_closed_to_ssh(arm: &Arm, nic: &StoredResource) -> Option<bool> {
    let Some((public, known)) = public_ip(arm, nic).zip(fabric_nic(arm, nic)) else { return Some(false) };
    let subnet = arm.find(&known.subnet);
    let groups = groups_of(arm, [Some(nic), subnet].into_iter().flatten());
    if groups.is_empty() {
        let sku = public.top.get("sku").and_then(|sku| sku.get("name")).and_then(Value::as_str);
        return Some(sku != Some(OPEN_SKU));
    }
    if !groups.keys().filter_map(|key| arm.find(key)).all(|group| is_written(arm, group)) {
        return None;
    }
    let subnets = subnet.map(|subnet| (subnet.key(), fabric_subnet(arm, subnet))).into_iter().collect();
    let fabric = Fabric { nics: Vec::new(), subnets, groups };
    let own = *known.addresses.first()?;
    let flow = Flow { source: CLIENT_ADDRESS, to: own, service: Service::SSH };
    Some(fabric.refusal(&known, Direction::Inbound, &flow).is_some())
}

/// Whether a login from one NIC to another of its network is dropped by a security group.
pub(crate) fn drops_ssh(arm: &Arm, [from, to]: [&str; 2]) -> bool {
    let fabric = fabric(arm);
    let known = |id: &str| fabric.nics.iter().find(|nic| nic.id.eq_ignore_ascii_case(id));
    let Some((sender, receiver)) = known(from).zip(known(to)) else { return false };
    let Some((source, to)) = sender.addresses.first().zip(receiver.addresses.first()) else { return false };
    let flow = Flow { source: *source, to: *to, service: Service::SSH };
    fabric.refusal(sender, Direction::Outbound, &flow).is_some()
        || fabric.refusal(receiver, Direction::Inbound, &flow).is_some()
}

fn is_written(arm: &Arm, group: &StoredResource) -> bool {
    group.is_settled() && arm.below(&group.id, ResourceType::SecurityRule).into_iter().all(StoredResource::is_settled)
}

fn public_ip<'a>(arm: &'a Arm, nic: &StoredResource) -> Option<&'a StoredResource> {
    objects(&nic.properties, "ipConfigurations").into_iter().find_map(|configuration| {
        arm.find(reference(configuration.get("properties")?.as_object()?, "publicIPAddress")?)
    })
}
