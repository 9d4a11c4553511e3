//! Rules of a security group in a form that packets can be matched with.

use std::{net::Ipv4Addr, ops::RangeInclusive};

use ipnet::Ipv4Net;

use super::inspected::{GroupFacts, RuleFacts};

/// Source port of clients. A rule about other source ports is about servers.
const CLIENT_PORT: u16 = 49152;
/// Source address of Azure's load balancers and probes.
const LOAD_BALANCER: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
/// Prefixes that the tag `Internet` does not contain: private, shared, link-local and loopback
/// addresses.
const NOT_INTERNET: [Ipv4Net; 6] = [
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10),
    Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8),
];

/// Direction of packets, seen from the machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    In,
    Out,
}

/// Protocol of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Transport {
    Tcp,
    Udp,
    Icmp,
}

/// First packet of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet {
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    /// True if source or destination is a machine and not a pod.
    pub(crate) of_machine: bool,
    pub(crate) transport: Transport,
    /// Destination port; ignored for ICMP.
    pub(crate) port: u16,
}

/// Rule of one direction. Rules that match no packet of these protocols are left out.
pub(super) struct MatchRule<'a> {
    pub(super) facts: &'a RuleFacts,
    pub(super) allows: bool,
    transport: Option<Transport>,
    sources: Vec<Place>,
    from_clients: bool,
    destinations: Vec<Place>,
    ports: Vec<RangeInclusive<u16>>,
}

/// Addresses that a rule names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Anywhere,
    Prefix(Ipv4Net),
    VirtualNetwork,
    Internet,
    LoadBalancer,
}

/// The rules of one direction of a group, by priority: the first match decides.
pub(super) fn by_priority(group: &GroupFacts, way: Way) -> Vec<MatchRule<'_>> {
    let word = if way == Way::In { "inbound" } else { "outbound" };
    let of_way = group.rules.iter().filter(|rule| rule.direction.eq_ignore_ascii_case(word));
    let mut rules: Vec<MatchRule<'_>> = of_way.filter_map(MatchRule::of).collect();
    rules.sort_by_key(|rule| rule.facts.priority);
    rules
}

impl<'a> MatchRule<'a> {
    /// `None` for the protocols of `IPsec`.
    fn of(facts: &'a RuleFacts) -> Option<Self> {
        let transport = match facts.protocol.to_ascii_lowercase().as_str() {
            "*" => None,
            "tcp" => Some(Transport::Tcp),
            "udp" => Some(Transport::Udp),
            "icmp" => Some(Transport::Icmp),
            _ => return None,
        };
        let ports = |texts: &[String]| texts.iter().filter_map(|text| port_range(text)).collect::<Vec<_>>();
        let places = |texts: &[String]| texts.iter().filter_map(|text| Place::parse(text)).collect();
        Some(Self {
            facts,
            allows: facts.access.eq_ignore_ascii_case("allow"),
            transport,
            sources: places(&facts.sources),
            from_clients: ports(&facts.source_ports).iter().any(|range| range.contains(&CLIENT_PORT)),
            destinations: places(&facts.destinations),
            ports: ports(&facts.destination_ports),
        })
    }

    /// True if the rule decides about this packet. `network` is the tag `VirtualNetwork`.
    ///
    /// Members of an application security group are interfaces, so its rule never matches a pod;
    /// for machines a rule that allows is assumed to match, because its members are not known.
    pub(super) fn matches(&self, packet: &Packet, network: &[Ipv4Net]) -> bool {
        if self.facts.by_application {
            return self.allows && packet.of_machine;
        }
        let has = |places: &[Place], address| places.iter().any(|place| place.has(address, network));
        let is_for_ports = packet.transport == Transport::Icmp
            || self.from_clients && self.ports.iter().any(|range| range.contains(&packet.port));
        self.transport.is_none_or(|own| own == packet.transport)
            && is_for_ports
            && has(&self.sources, packet.source)
            && has(&self.destinations, packet.destination)
    }

    /// True if the rule names ports, and so concerns single services.
    pub(super) fn is_for_some_ports(&self) -> bool {
        !self.ports.iter().any(|range| *range.start() <= 1 && *range.end() == u16::MAX)
    }

    /// Prefixes at which the rule distinguishes addresses. `network` is the tag `VirtualNetwork`.
    pub(super) fn boundaries<'s>(&'s self, network: &'s [Ipv4Net]) -> impl Iterator<Item = Ipv4Net> + 's {
        self.sources.iter().chain(&self.destinations).flat_map(move |place| match place {
            Place::Anywhere | Place::LoadBalancer => Vec::new(),
            Place::Prefix(prefix) => vec![*prefix],
            Place::VirtualNetwork => network.to_vec(),
            Place::Internet => network.iter().chain(&NOT_INTERNET).copied().collect(),
        })
    }

    /// Ports at which the rule distinguishes services.
    pub(super) fn port_boundaries(&self) -> impl Iterator<Item = u16> + '_ {
        self.ports.iter().flat_map(|range| [Some(*range.start()), range.end().checked_add(1)]).flatten()
    }
}

impl Place {
    /// `None` for addresses that no pod or machine has: IPv6, and tags of public services.
    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "*" | "any" => Some(Self::Anywhere),
            "virtualnetwork" => Some(Self::VirtualNetwork),
            "internet" => Some(Self::Internet),
            "azureloadbalancer" => Some(Self::LoadBalancer),
            other => {
                let prefix = other.parse::<Ipv4Net>().ok();
                prefix.or_else(|| other.parse::<Ipv4Addr>().ok().map(Ipv4Net::from)).map(|it| Self::Prefix(it.trunc()))
            }
        }
    }

    fn has(self, address: Ipv4Addr, network: &[Ipv4Net]) -> bool {
        let is_in = |prefixes: &[Ipv4Net]| prefixes.iter().any(|prefix| prefix.contains(&address));
        match self {
            Self::Anywhere => true,
            Self::Prefix(prefix) => prefix.contains(&address),
            Self::VirtualNetwork => is_in(network),
            Self::Internet => !is_in(network) && !is_in(&NOT_INTERNET),
            Self::LoadBalancer => address == LOAD_BALANCER,
        }
    }
}

/// Parses a port, a range such as `20-22`, or `*`.
fn port_range(text: &str) -> Option<RangeInclusive<u16>> {
    if text == "*" {
        return Some(0..=u16::MAX);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
}
