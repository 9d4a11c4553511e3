//! Azure's network: security groups, IP forwarding of interfaces, and route tables.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::{
    facts::TraceFacts,
    machines::{Machine, Role},
    report::{Fault, PathSurface},
};
use crate::path::{Packet, RouteEntry, SubnetFacts, Transport, Way, denying_rule};

/// Packet on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct TracedPacket {
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
    /// True if one of the ends is a machine and not a pod.
    pub(super) of_machine: bool,
    /// True if it is the reply: security groups let it pass with the request.
    pub(super) is_reply: bool,
}

/// Prefixes for which Azure has a system route that drops packets: private and shared addresses
/// that no network of the machine has (virtual-networks-udr-overview).
const DROPPED: [Ipv4Net; 4] = [
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10),
];

/// Words for the route inside a virtual network.
const LOCAL: &str = "inside the virtual network";

/// Passes a packet from a machine through its network to the machine that it has to reach next.
/// Returns words for the route.
///
/// # Errors
/// The surface that drops it, or sends it elsewhere.
pub(super) fn cross(
    facts: &TraceFacts,
    from: &Machine<'_>,
    next: &Machine<'_>,
    packet: &TracedPacket,
) -> Result<String, Fault> {
    let Some(subnet) = facts.subnet(from) else {
        return Err(Fault::own(PathSurface::RouteTable, from.label(), "a subnet in Azure", "none that was read"));
    };
    leave(facts, subnet, from, packet)?;
    let route = check_route(subnet, packet, next.ip)?;
    if let Some(subnet) = facts.subnet(next) {
        arrive(facts, subnet, next, packet)?;
    }
    Ok(route)
}

/// Checks the security groups between two nodes of AKS. Their network delivers to pods without a
/// route table, and rules see the addresses of the pods (azure-cni-overlay).
///
/// # Errors
/// The rule that drops the packet.
pub(super) fn cross_overlay(
    facts: &TraceFacts,
    from: &Machine<'_>,
    to: &Machine<'_>,
    packet: &TracedPacket,
) -> Result<(), Fault> {
    check_groups(facts, &facts.node_subnet, from, packet, Way::Out)?;
    check_groups(facts, &facts.node_subnet, to, packet, Way::In)
}

/// Checks the interface and the groups that a packet leaves through.
fn leave(facts: &TraceFacts, subnet: &SubnetFacts, from: &Machine<'_>, packet: &TracedPacket) -> Result<(), Fault> {
    if packet.source != from.ip && from.role != Role::AksNode {
        check_forwarding(subnet, from)?;
    }
    check_groups(facts, subnet, from, packet, Way::Out)
}

/// Checks the interface and the groups that a packet arrives through.
fn arrive(facts: &TraceFacts, subnet: &SubnetFacts, at: &Machine<'_>, packet: &TracedPacket) -> Result<(), Fault> {
    check_groups(facts, subnet, at, packet, Way::In)?;
    // The overlay of AKS delivers to pods by itself.
    if packet.destination != at.ip && at.role != Role::AksNode { check_forwarding(subnet, at) } else { Ok(()) }
}

fn check_forwarding(subnet: &SubnetFacts, machine: &Machine<'_>) -> Result<(), Fault> {
    let Some(interface) = subnet.interface(machine.ip) else { return Ok(()) };
    if interface.forwards {
        return Ok(());
    }
    let object = format!("network interface {}", interface.name);
    Err(Fault::own(PathSurface::InterfaceForwarding, object, "IP forwarding on", "IP forwarding off"))
}

fn check_groups(
    facts: &TraceFacts,
    subnet: &SubnetFacts,
    machine: &Machine<'_>,
    packet: &TracedPacket,
    way: Way,
) -> Result<(), Fault> {
    // A group lets the replies of a connection pass that it has let pass.
    if packet.is_reply {
        return Ok(());
    }
    let TracedPacket { source, destination, of_machine, .. } = *packet;
    let first = Packet { source, destination, of_machine, transport: Transport::Tcp, port: facts.port };
    let network: Vec<Ipv4Net> = facts.cluster_pods.iter().filter(|_| machine.role == Role::AksNode).copied().collect();
    let Some(denying) = denying_rule(subnet, machine.ip, &first, way, &network) else { return Ok(()) };
    let object = format!("security group {}", denying.group);
    let expected = format!("a rule that allows {source} → {destination}");
    let fault = Fault::own(PathSurface::SecurityRule, object, expected, denying.text);
    Err(fault.with_command(format!("`{}` allows it", denying.command)))
}

/// Checks that a packet is sent to `expected`: by the route with the longest prefix; of equal ones,
/// by that of the table. Returns words for the route.
fn check_route(subnet: &SubnetFacts, packet: &TracedPacket, expected: Ipv4Addr) -> Result<String, Fault> {
    let destination = packet.destination;
    let local = subnet.local_prefix(destination);
    let own = best_route(subnet, destination)
        .filter(|(_, prefix)| local.is_none_or(|local| prefix.prefix_len() >= local.prefix_len()));
    let dropped = |found: &str| {
        let expected = format!("a route for {destination} to {expected}");
        Fault::own(PathSurface::RouteTable, table_name(subnet), expected, found)
    };
    match own {
        Some((route, prefix)) => match route.appliance() {
            Some(hop) if hop == expected => {
                Ok(format!("route {} ({prefix}) of {} leads to {hop}", route.name, table_name(subnet)))
            }
            Some(hop) => Err(misled(subnet, route, &hop.to_string(), &dropped)),
            None if route.next_hop_type.eq_ignore_ascii_case("VnetLocal") && destination == expected => {
                Ok(LOCAL.into())
            }
            None => Err(misled(subnet, route, &route.next_hop_type, &dropped)),
        },
        // No machine of the network has the address of a pod.
        None if local.is_some() && destination == expected => Ok(LOCAL.into()),
        None if local.is_some() => Err(dropped("none but that of the virtual network")),
        None if DROPPED.iter().any(|prefix| prefix.contains(&destination)) => {
            Err(dropped("none: Azure drops the packets"))
        }
        None => Err(dropped("none: to the internet")),
    }
}

/// Fault of a route that leads elsewhere.
fn misled(subnet: &SubnetFacts, route: &RouteEntry, hop: &str, dropped: &impl Fn(&str) -> Fault) -> Fault {
    let fault = dropped(&format!("route {} ({}) to {hop}", route.name, route.prefix));
    match &subnet.route_table {
        Some(table) if !route.managed => fault.with_command(format!(
            "`az network route-table route delete --resource-group {} --route-table-name {} --name {}` removes it",
            table.resource_group, table.name, route.name
        )),
        _ => fault,
    }
}

fn best_route(subnet: &SubnetFacts, destination: Ipv4Addr) -> Option<(&RouteEntry, Ipv4Net)> {
    let routes = subnet.route_table.iter().flat_map(|table| &table.routes);
    let matching = routes.filter_map(|route| Some((route, route.destination()?)));
    matching.filter(|(_, prefix)| prefix.contains(&destination)).max_by_key(|(_, prefix)| prefix.prefix_len())
}

fn table_name(subnet: &SubnetFacts) -> String {
    match &subnet.route_table {
        Some(table) => format!("route table {}", table.name),
        None => format!("subnet {}, which has no route table", subnet.name),
    }
}
