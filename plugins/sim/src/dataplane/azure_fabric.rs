use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::path::{DropCause, PacketDrop};
use super::plane::Plane;
use crate::arm::FabricSubnet;

/// Prefixes that Azure drops unless a route covers them.
const DROPPED: [Ipv4Net; 4] = [
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10),
];

/// Effective route of a subnet for one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
struct EffectiveRoute {
    prefix: Ipv4Net,
    kind: String,
    hop: Option<Ipv4Addr>,
    is_user: bool,
}

impl Plane {
    /// Routes a packet that leaves a NIC. Returns the NIC that receives it, and the event in words.
    pub(super) fn route_in_fabric(
        &self,
        nic: usize,
        source: Ipv4Addr,
        to: Ipv4Addr,
    ) -> Result<(usize, String), PacketDrop> {
        let sender = &self.fabric.nics[nic];
        if !sender.forwards && !sender.addresses.contains(&source) {
            let why = format!("IP forwarding of NIC {} is off, so it sends nothing from {source}", sender.name);
            return Err(PacketDrop::new(&sender.name, DropCause::NicForwarding, why));
        }
        let Some(subnet) = self.subnet(sender) else {
            return Err(PacketDrop::new(&sender.name, DropCause::Nobody, "its subnet is gone"));
        };
        let route = effective(subnet, to);
        let target = target(subnet, &route, to)?;
        let Some(receiver) = self.nic_with(&subnet.network, target) else {
            let why = format!("no NIC of the network has {target}");
            return Err(PacketDrop::new(&subnet.name, DropCause::Nobody, why));
        };
        let known = &self.fabric.nics[receiver];
        if !known.forwards && !known.addresses.contains(&to) {
            let why = format!("IP forwarding of NIC {} is off, so it gets nothing for {to}", known.name);
            return Err(PacketDrop::new(&known.name, DropCause::NicForwarding, why));
        }
        Ok((receiver, format!("{} sends {to} to {target}", words(subnet, &route))))
    }
}

/// Returns the address whose NIC receives the packet.
fn target(subnet: &FabricSubnet, route: &EffectiveRoute, to: Ipv4Addr) -> Result<Ipv4Addr, PacketDrop> {
    match (route.kind.as_str(), route.hop) {
        ("VirtualAppliance", Some(hop)) => Ok(hop),
        ("VnetLocal", _) => Ok(to),
        (kind, _) => {
            let cause = if subnet.table.is_none() { DropCause::Association } else { DropCause::CloudRoute };
            let end = if kind == "Internet" { "leaves for the internet" } else { "is dropped" };
            let table = match (&subnet.table, route.is_user) {
                (None, _) => "no route table is associated with the subnet".to_owned(),
                (Some(table), true) => format!("by a route of table {table}"),
                (Some(table), false) => format!("route table {table} has no route for it"),
            };
            Err(PacketDrop::new(&subnet.name, cause, format!("packet for {to} {end}: {table}")))
        }
    }
}

/// Returns the effective route: the longest prefix, and a user route before one of the system.
fn effective(subnet: &FabricSubnet, to: Ipv4Addr) -> EffectiveRoute {
    let system =
        |prefix: Ipv4Net, kind: &str| EffectiveRoute { prefix, kind: kind.to_owned(), hop: None, is_user: false };
    let space = subnet.space.iter().map(|prefix| system(*prefix, "VnetLocal"));
    let dropped = DROPPED.iter().map(|prefix| system(*prefix, "None"));
    let user = subnet.routes.iter().map(|route| EffectiveRoute {
        prefix: route.prefix,
        kind: route.kind.clone(),
        hop: route.hop,
        is_user: true,
    });
    // `max_by_key` returns the last of equal ones: a network's own prefix precedes the one of the
    // same length that would drop the packet.
    let all = dropped.chain(space).chain(user).filter(|route| route.prefix.contains(&to));
    let best = all.max_by_key(|route| (route.prefix.prefix_len(), route.is_user));
    best.unwrap_or_else(|| system(Ipv4Net::default(), "Internet"))
}

/// Names a route and the table that it is from.
fn words(subnet: &FabricSubnet, route: &EffectiveRoute) -> String {
    match (&subnet.table, route.is_user) {
        (Some(table), true) => format!("route {} of table {table}", route.prefix),
        _ => format!("the network's own route {}", route.prefix),
    }
}
