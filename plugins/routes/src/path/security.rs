//! Effective decision of security groups about the packets of a subnet's path.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use ipnet::Ipv4Net;

use super::{
    Findings,
    addresses::{Representative, representatives},
    inspected::{GroupFacts, RuleFacts, SubnetFacts},
    rules::{MatchRule, Packet, Transport, Way, by_priority},
    subnet::{PathPrefix, SubnetPath},
};
use crate::conflict::Conflict;

const TRANSPORTS: [Transport; 3] = [Transport::Tcp, Transport::Udp, Transport::Icmp];
/// Highest priority number of a rule that is not a default rule.
const LAST_PRIORITY: u32 = 4096;
/// Lowest priority number of a rule.
const FIRST_PRIORITY: u32 = 100;

/// Packets of one direction that a group must let pass: from any of the sources to any of the
/// destinations.
struct Passage<'a> {
    way: Way,
    sources: &'a [PathPrefix],
    destinations: &'a [PathPrefix],
}

/// Packets that one rule denies.
#[derive(Default)]
struct Denial {
    sources: BTreeSet<Ipv4Net>,
    destinations: BTreeSet<Ipv4Net>,
    transports: BTreeSet<Transport>,
}

/// Finds the rules that drop packets of the path, in all groups of the subnet.
pub(super) fn findings(subnet: &SubnetFacts, path: &SubnetPath) -> Findings {
    let network: Vec<Ipv4Net> = subnet.virtual_network().into_iter().chain(path.network.iter().copied()).collect();
    let mut findings = Findings::default();
    for group in &subnet.security_groups {
        for passage in passages(group, path) {
            judge(group, &passage, &network, &mut findings);
        }
    }
    findings
}

/// Rule that denies one packet.
pub(crate) struct DenyingRule {
    /// Name of the security group.
    pub(crate) group: String,
    /// Text that names the rule and the packet.
    pub(crate) text: String,
    /// Command that adds a rule before it.
    pub(crate) command: String,
}

/// Finds the rule that denies a connection by TCP that a machine of the subnet receives, or sends.
///
/// `network` are prefixes that the tag `VirtualNetwork` has in addition to those that can be read.
pub(crate) fn denying_rule(
    subnet: &SubnetFacts,
    machine: Ipv4Addr,
    packet: &Packet,
    way: Way,
    network: &[Ipv4Net],
) -> Option<DenyingRule> {
    let network: Vec<Ipv4Net> = subnet.virtual_network().into_iter().chain(network.iter().copied()).collect();
    let is_of = |group: &&GroupFacts| {
        group.of_subnet || group.addresses.iter().any(|text| text.parse::<Ipv4Addr>() == Ok(machine))
    };
    subnet.security_groups.iter().filter(is_of).find_map(|group| {
        let rules = by_priority(group, way);
        let rule = rules.iter().find(|rule| rule.matches(packet, &network)).filter(|rule| !rule.allows)?;
        let denial = Denial {
            sources: [Ipv4Net::from(packet.source)].into(),
            destinations: [Ipv4Net::from(packet.destination)].into(),
            transports: [packet.transport].into(),
        };
        Some(DenyingRule {
            group: group.name.clone(),
            text: text(group, rule.facts, &denial, way),
            command: command(group, rule.facts, &denial, way),
        })
    })
}

/// Passages through a group: those of the machines with pods, and those of the router, whose
/// direction is the opposite one.
fn passages<'a>(group: &GroupFacts, path: &'a SubnetPath) -> Vec<Passage<'a>> {
    let is_router = |text: &String| text.parse::<Ipv4Addr>().is_ok_and(|address| path.router == Some(address));
    let is_of_router = path.router.is_some() && (group.of_subnet || group.addresses.iter().any(is_router));
    let is_of_pods = path.has_pods && (group.of_subnet || group.addresses.iter().any(|text| !is_router(text)));
    let (local, remote) = (path.local.as_slice(), path.remote.as_slice());
    let passage = |way, sources, destinations| Passage { way, sources, destinations };
    let mut passages = Vec::new();
    if is_of_pods {
        passages.extend([passage(Way::In, remote, local), passage(Way::Out, local, remote)]);
    }
    if is_of_router {
        passages.extend([passage(Way::In, local, remote), passage(Way::Out, remote, local)]);
    }
    // The pods of a datacenter's workers reach each other through its network.
    if is_of_pods && path.router.is_some() {
        passages.extend([passage(Way::In, local, local), passage(Way::Out, local, local)]);
    }
    passages
}

/// Adds the rules of a group that drop packets of a passage.
fn judge(group: &GroupFacts, passage: &Passage<'_>, network: &[Ipv4Net], findings: &mut Findings) {
    let rules = by_priority(group, passage.way);
    let boundaries: BTreeSet<Ipv4Net> = rules.iter().flat_map(|rule| rule.boundaries(network)).collect();
    let boundaries: Vec<Ipv4Net> = boundaries.into_iter().collect();
    let sources = representatives(passage.sources, &boundaries);
    let destinations = representatives(passage.destinations, &boundaries);
    let ports: BTreeSet<u16> = rules.iter().flat_map(MatchRule::port_boundaries).chain([80]).collect();
    let mut denials: BTreeMap<usize, Denial> = BTreeMap::new();
    for source in &sources {
        for destination in destinations.iter().filter(|it| it.of.prefix != source.of.prefix) {
            for (at, transport) in denied(&rules, (source, destination), &ports, network) {
                let denial = denials.entry(at).or_default();
                denial.sources.insert(source.of.rule_prefix);
                denial.destinations.insert(destination.of.rule_prefix);
                denial.transports.insert(transport);
            }
        }
    }
    for (at, denial) in denials {
        let (rule, text) = (&rules[at], text(group, rules[at].facts, &denial, passage.way));
        if rule.is_for_some_ports() {
            findings.warnings.push(format!("{text}, ports {}", rule.facts.destination_ports.join(", ")));
        } else {
            findings.blockers.push(Conflict::new(text, command(group, rule.facts, &denial, passage.way)));
        }
    }
}

/// Indexes of the rules that deny packets between two addresses, with the protocol.
fn denied(
    rules: &[MatchRule<'_>],
    (source, destination): (&Representative, &Representative),
    ports: &BTreeSet<u16>,
    network: &[Ipv4Net],
) -> BTreeSet<(usize, Transport)> {
    let packets = TRANSPORTS.iter().flat_map(|transport| ports.iter().map(move |port| (*transport, *port)));
    let decision = |(transport, port)| {
        let packet = Packet {
            source: source.address,
            destination: destination.address,
            of_machine: !source.of.pods || !destination.of.pods,
            transport,
            port,
        };
        let at = rules.iter().position(|rule| rule.matches(&packet, network))?;
        (!rules[at].allows).then_some((at, transport))
    };
    packets.filter_map(decision).collect()
}

fn text(group: &GroupFacts, rule: &RuleFacts, denial: &Denial, way: Way) -> String {
    let way = if way == Way::In { "inbound" } else { "outbound" };
    let protocol = match denial.transports.iter().collect::<Vec<_>>().as_slice() {
        [Transport::Tcp] => ", TCP only",
        [Transport::Udp] => ", UDP only",
        [Transport::Icmp] => ", ICMP only",
        _ => "",
    };
    let (sources, destinations) = (join(&denial.sources, ", "), join(&denial.destinations, ", "));
    let (rule, group) = (&rule.name, &group.name);
    format!("rule {rule} of security group {group} denies {sources} → {destinations} ({way}{protocol})")
}

/// Command that adds a rule before the denying one.
fn command(group: &GroupFacts, rule: &RuleFacts, denial: &Denial, way: Way) -> String {
    let word = if way == Way::In { "Inbound" } else { "Outbound" };
    let priority = free_priority(group, rule).map_or_else(|| "PRIORITY".to_owned(), |priority| priority.to_string());
    format!(
        "az network nsg rule create --resource-group {} --nsg-name {} --name stargate-pods-{} --priority {priority} \
         --direction {word} --access Allow --protocol '*' --source-address-prefixes {} --source-port-ranges '*' \
         --destination-address-prefixes {} --destination-port-ranges '*'",
        group.resource_group,
        group.name,
        word.to_ascii_lowercase(),
        join(&denial.sources, " "),
        join(&denial.destinations, " "),
    )
}

/// Highest free priority number before a rule.
fn free_priority(group: &GroupFacts, rule: &RuleFacts) -> Option<u32> {
    let is_used = |priority: &u32| {
        group.rules.iter().any(|other| other.priority == *priority && other.direction == rule.direction)
    };
    (FIRST_PRIORITY..rule.priority.min(LAST_PRIORITY + 1)).rev().find(|priority| !is_used(priority))
}

/// The fewest prefixes with the same addresses, as text.
fn join(prefixes: &BTreeSet<Ipv4Net>, separator: &str) -> String {
    let prefixes: Vec<Ipv4Net> = prefixes.iter().copied().collect();
    Ipv4Net::aggregate(&prefixes).iter().map(ToString::to_string).collect::<Vec<_>>().join(separator)
}
