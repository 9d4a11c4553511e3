use std::net::Ipv4Addr;

use serde_json::Value;

use crate::arm::fabric::{NetworkFabric, fabric, fabric_nic, fabric_subnet, groups_of};
use crate::arm::json::{objects, reference};
use crate::arm::security_group::{Direction, PacketFlow, Service};
use crate::arm::store::{Arm, ArmResourceType, StoredResource};

/// Source address of logins from the machine that the world runs on, as Azure sees them. The world
/// is on loopback; the address is from TEST-NET-2 of RFC 5737.
pub(crate) const CLIENT_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

/// SKU of public addresses that are open until a security group closes them. Addresses of other
/// SKUs are closed until a group opens them.
const OPEN_SKU: &str = "Basic";

/// Returns `true` if logins to the public address of the NIC are dropped: no security group admits
/// them, or there is no group and the address is of a SKU that needs one. Returns `None` while a
/// group is being written: the previous answer still applies.
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
    let fabric = NetworkFabric { nics: Vec::new(), subnets, groups };
    let own = *known.addresses.first()?;
    let flow = PacketFlow { source: CLIENT_ADDRESS, to: own, service: Service::SSH };
    Some(fabric.refusal(&known, Direction::Inbound, &flow).is_some())
}

/// Returns `true` if a security group drops a login from one NIC to another of its network.
pub(crate) fn drops_ssh(arm: &Arm, [from, to]: [&str; 2]) -> bool {
    let fabric = fabric(arm);
    let known = |id: &str| fabric.nics.iter().find(|nic| nic.id.eq_ignore_ascii_case(id));
    let Some((sender, receiver)) = known(from).zip(known(to)) else { return false };
    let Some((source, to)) = sender.addresses.first().zip(receiver.addresses.first()) else { return false };
    let flow = PacketFlow { source: *source, to: *to, service: Service::SSH };
    fabric.refusal(sender, Direction::Outbound, &flow).is_some()
        || fabric.refusal(receiver, Direction::Inbound, &flow).is_some()
}

/// True if a group and all its rules have been written.
fn is_written(arm: &Arm, group: &StoredResource) -> bool {
    group.is_settled()
        && arm.below(&group.id, ArmResourceType::SecurityRule).into_iter().all(StoredResource::is_settled)
}

/// Returns the public address of the NIC's first configuration that has one.
fn public_ip<'a>(arm: &'a Arm, nic: &StoredResource) -> Option<&'a StoredResource> {
    objects(&nic.properties, "ipConfigurations").into_iter().find_map(|configuration| {
        arm.find(reference(configuration.get("properties")?.as_object()?, "publicIPAddress")?)
    })
}
