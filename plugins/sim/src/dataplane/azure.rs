use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::path::{Cause, Death};
use super::plane::Plane;
use crate::arm::FabricSubnet;

/// Prefixes that Azure drops unless something routes them.
const DROPPED: [Ipv4Net; 4] = [
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10),
];

/// What the fabric does with a packet of a subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Effective {
    prefix: Ipv4Net,
    kind: String,
    hop: Option<Ipv4Addr>,
    is_user: bool,
}

impl Plane {
    /// What the fabric does with a packet that leaves a NIC: the NIC that gets it, and what happened in words.
    pub(super) fn through_fabric(&self, nic: usize, source: Ipv4Addr, to: Ipv4Addr) -> Result<(usize, String), Death> {
        let sender = &self.fabric.nics[nic];
        if !sender.forwards && !sender.addresses.contains(&source) {
            let why = format!("IP forwarding of NIC {} is off, so it sends nothing from {source}", sender.name);
            return Err(Death::new(&sender.name, Cause::NicForwarding, why));
        }
        let Some(subnet) = self.subnet(sender) else {
            return Err(Death::new(&sender.name, Cause::Nobody, "its subnet is gone"));
        };
        let route = effective(subnet, to);
        let wanted = wanted(subnet, &route, to)?;
        let Some(receiver) = self.nic_with(&subnet.network, wanted) else {
            let why = format!("no NIC of the network has {wanted}");
            return Err(Death::new(&subnet.name, Cause::Nobody, why));
        };
        let known = &self.fabric.nics[receiver];
        if !known.forwards && !known.addresses.contains(&to) {
            let why = format!("IP forwarding of NIC {} is off, so it gets nothing for {to}", known.name);
            return Err(Death::new(&known.name, Cause::NicForwarding, why));
        }
        Ok((receiver, format!("{} sends {to} to {wanted}", words(subnet, &route))))
    }
}

/// Whose NIC the fabric looks for.
fn wanted(subnet: &FabricSubnet, route: &Effective, to: Ipv4Addr) -> Result<Ipv4Addr, Death> {
    match (route.kind.as_str(), route.hop) {
        ("VirtualAppliance", Some(hop)) => Ok(hop),
        ("VnetLocal", _) => Ok(to),
        (kind, _) => {
            let cause = if subnet.table.is_none() { Cause::Association } else { Cause::CloudRoute };
            let end = if kind == "Internet" { "leaves for the internet" } else { "is dropped" };
            let table = match (&subnet.table, route.is_user) {
                (None, _) => "no route table is associated with the subnet".to_owned(),
                (Some(table), true) => format!("route table {table} says so"),
                (Some(table), false) => format!("route table {table} has no route for it"),
            };
            Err(Death::new(&subnet.name, cause, format!("packet for {to} {end}: {table}")))
        }
    }
}

/// The longest prefix; a user's route before one of the system.
fn effective(subnet: &FabricSubnet, to: Ipv4Addr) -> Effective {
    let system = |prefix: Ipv4Net, kind: &str| Effective { prefix, kind: kind.to_owned(), hop: None, is_user: false };
    let space = subnet.space.iter().map(|prefix| system(*prefix, "VnetLocal"));
    let dropped = DROPPED.iter().map(|prefix| system(*prefix, "None"));
    let user = subnet.routes.iter().map(|route| Effective {
        prefix: route.prefix,
        kind: route.kind.clone(),
        hop: route.hop,
        is_user: true,
    });
    // A network's own prefix is before the one of the same length that would drop it: `max_by_key` takes the last of equals.
    let all = dropped.chain(space).chain(user).filter(|route| route.prefix.contains(&to));
    let best = all.max_by_key(|route| (route.prefix.prefix_len(), route.is_user));
    best.unwrap_or_else(|| system(Ipv4Net::default(), "Internet"))
}

fn words(subnet: &FabricSubnet, route: &Effective) -> String {
    match (&subnet.table, route.is_user) {
        (Some(table), true) => format!("route {} of table {table}", route.prefix),
        _ => format!("the network's own route {}", route.prefix),
    }
}
