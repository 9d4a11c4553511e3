use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use ipnet::Ipv4Net;
use serde_json::Value;

use crate::arm::json::{Object, field, texts};
use crate::arm::network::default_rules;
use crate::arm::store::{Arm, ArmResourceType, StoredResource};

/// Source port of simulated clients. Rules about source ports below it concern servers.
const CLIENT_PORT: u16 = 49152;

/// Source address of Azure's load balancers and probes.
const LOAD_BALANCER: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

/// Prefixes that the tag `Internet` excludes: private, shared, link-local and loopback addresses.
const NOT_INTERNET: [Ipv4Net; 6] = [
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10),
    Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8),
];

/// First packet of a connection, as a security group sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PacketFlow {
    /// Source address.
    pub(crate) source: Ipv4Addr,
    /// Destination address.
    pub(crate) to: Ipv4Addr,
    pub(crate) service: Service,
}

/// Protocol and port of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// Protocol of the connection.
    pub protocol: IpProtocol,
    /// Destination port; ignored for ICMP.
    pub port: u16,
}

/// Protocol that rules distinguish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IpProtocol {
    /// The protocol TCP.
    Tcp,
    /// The protocol UDP.
    Udp,
    /// The protocol ICMP.
    Icmp,
}

impl Service {
    /// A request by HTTP: TCP, port 80.
    pub const HTTP: Self = Self { protocol: IpProtocol::Tcp, port: 80 };
    /// A login: TCP, port 22.
    pub const SSH: Self = Self { protocol: IpProtocol::Tcp, port: 22 };
}

/// Direction in which a packet passes a NIC, as the machine behind it sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Inbound,
    Outbound,
}

/// A network security group with the rules that are in force, the default ones included.
#[derive(Debug, Clone)]
pub(crate) struct SecurityGroup {
    pub(crate) name: String,
    /// Rules by priority: the first match decides.
    rules: Vec<SecurityRule>,
}

#[derive(Debug, Clone)]
struct SecurityRule {
    name: String,
    direction: Direction,
    priority: u64,
    allows: bool,
    protocol: Option<IpProtocol>,
    sources: Vec<RulePosition>,
    source_ports: Vec<RangeInclusive<u16>>,
    destinations: Vec<RulePosition>,
    ports: Vec<RangeInclusive<u16>>,
}

/// Position of a packet's source or destination, as a rule names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RulePosition {
    Anywhere,
    Prefix(Ipv4Net),
    VirtualNetwork,
    Internet,
    LoadBalancer,
}

impl SecurityGroup {
    /// Reads a group with its default rules. Rules that are being written are not in force.
    pub(crate) fn of(arm: &Arm, group: &StoredResource) -> Self {
        let own = arm.below(&group.id, ArmResourceType::SecurityRule);
        let own = own.into_iter().filter(|rule| rule.state == "Succeeded");
        let own = own.filter_map(|rule| SecurityRule::of(&rule.name, &rule.properties));
        let defaults = default_rules(group);
        let defaults = defaults.iter().filter_map(|rule| {
            SecurityRule::of(rule.get("name").and_then(Value::as_str)?, rule.get("properties")?.as_object()?)
        });
        let mut rules: Vec<SecurityRule> = own.chain(defaults).collect();
        rules.sort_by_key(|rule| rule.priority);
        Self { name: group.name.clone(), rules }
    }

    /// Returns the name of the rule that drops the first packet of a connection, or `None`.
    /// `network` is the value of the tag `VirtualNetwork`.
    pub(crate) fn refusal(&self, direction: Direction, flow: &PacketFlow, network: &[Ipv4Net]) -> Option<&str> {
        let mut matching = self.rules.iter().filter(|rule| rule.direction == direction && rule.matches(flow, network));
        matching.next().filter(|rule| !rule.allows).map(|rule| rule.name.as_str())
    }
}

impl SecurityRule {
    /// Reads a rule. Returns `None` for protocols of tunnels, which are not simulated.
    fn of(name: &str, properties: &Object) -> Option<Self> {
        let protocol = match field(properties, "protocol")? {
            "*" => None,
            "Tcp" => Some(IpProtocol::Tcp),
            "Udp" => Some(IpProtocol::Udp),
            "Icmp" => Some(IpProtocol::Icmp),
            _ => return None,
        };
        Some(Self {
            name: name.to_owned(),
            direction: if field(properties, "direction")? == "Inbound" {
                Direction::Inbound
            } else {
                Direction::Outbound
            },
            priority: properties.get("priority").and_then(Value::as_u64)?,
            allows: field(properties, "access")? == "Allow",
            protocol,
            sources: places(properties, "sourceAddressPrefix", "sourceAddressPrefixes"),
            source_ports: ports(properties, "sourcePortRange", "sourcePortRanges"),
            destinations: places(properties, "destinationAddressPrefix", "destinationAddressPrefixes"),
            ports: ports(properties, "destinationPortRange", "destinationPortRanges"),
        })
    }

    /// True if the rule is for this packet.
    fn matches(&self, flow: &PacketFlow, network: &[Ipv4Net]) -> bool {
        let has = |places: &[RulePosition], address| places.iter().any(|place| place.has(address, network));
        let Service { protocol, port } = flow.service;
        let is_for_ports = protocol == IpProtocol::Icmp
            || self.ports.iter().any(|range| range.contains(&port))
                && self.source_ports.iter().any(|range| range.contains(&CLIENT_PORT));
        self.protocol.is_none_or(|own| own == protocol)
            && is_for_ports
            && has(&self.sources, flow.source)
            && has(&self.destinations, flow.to)
    }
}

impl RulePosition {
    /// Reads a position. Returns `None` for addresses that no simulated packet has: IPv6, and tags
    /// of services that are not simulated.
    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "*" | "any" => Some(Self::Anywhere),
            "virtualnetwork" => Some(Self::VirtualNetwork),
            "internet" => Some(Self::Internet),
            "azureloadbalancer" => Some(Self::LoadBalancer),
            other => other.parse().ok().or_else(|| other.parse::<Ipv4Addr>().ok().map(Ipv4Net::from)).map(Self::Prefix),
        }
    }

    /// True if the address is at this position.
    fn has(self, address: Ipv4Addr, network: &[Ipv4Net]) -> bool {
        let in_network = || network.iter().any(|prefix| prefix.contains(&address));
        match self {
            Self::Anywhere => true,
            Self::Prefix(prefix) => prefix.contains(&address),
            Self::VirtualNetwork => in_network(),
            Self::Internet => !in_network() && !NOT_INTERNET.iter().any(|prefix| prefix.contains(&address)),
            Self::LoadBalancer => address == LOAD_BALANCER,
        }
    }
}

/// Reads the positions of a rule; those that are not simulated are left out.
fn places(properties: &Object, one: &str, many: &str) -> Vec<RulePosition> {
    both(properties, one, many).iter().filter_map(|text| RulePosition::parse(text)).collect()
}

/// Reads the port ranges of a rule; malformed ones are left out.
fn ports(properties: &Object, one: &str, many: &str) -> Vec<RangeInclusive<u16>> {
    both(properties, one, many).iter().filter_map(|text| port_range(text)).collect()
}

/// Returns the single value and the list of a rule, together.
fn both(properties: &Object, one: &str, many: &str) -> Vec<String> {
    let one = field(properties, one).filter(|text| !text.is_empty()).map(str::to_owned);
    one.into_iter().chain(texts(properties, many)).collect()
}

/// Reads a port, a range such as `20-22`, or `*`.
fn port_range(text: &str) -> Option<RangeInclusive<u16>> {
    if text == "*" {
        return Some(0..=u16::MAX);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::arm::json::object;

    /// True if a rule with these properties, and any other address and port, matches a login from
    /// one address to another.
    fn matches(more: Value, [source, to]: [&str; 2]) -> bool {
        let mut properties =
            object(json!({ "protocol": "*", "direction": "Inbound", "access": "Deny", "priority": 100 }));
        for key in ["sourceAddressPrefix", "sourcePortRange", "destinationAddressPrefix", "destinationPortRange"] {
            properties.insert(key.into(), json!("*"));
        }
        properties.extend(object(more));
        let network = ["10.0.0.0/8".parse().expect("a prefix")];
        let address = |text: &str| text.parse().expect("an address");
        let flow = PacketFlow { source: address(source), to: address(to), service: Service::SSH };
        SecurityRule::of("rule", &properties).is_some_and(|rule| rule.matches(&flow, &network))
    }

    #[test]
    fn addresses_are_prefixes_tags_or_lists_of_either() {
        for (prefix, source, expected) in [
            ("*", "203.0.113.9", true),
            ("Any", "203.0.113.9", true),
            ("203.0.113.9", "203.0.113.9", true),
            ("203.0.113.0/24", "203.0.114.9", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("VirtualNetwork", "10.9.9.9", true),
            ("VirtualNetwork", "192.168.0.9", false),
            ("Internet", "203.0.113.9", true),
            ("Internet", "192.168.0.9", false),
            ("Internet", "10.9.9.9", false),
            ("AzureLoadBalancer", "168.63.129.16", true),
            ("AzureLoadBalancer", "203.0.113.9", false),
            ("Storage.WestEurope", "203.0.113.9", false),
            ("2001:db8::/32", "203.0.113.9", false),
        ] {
            let found = matches(json!({ "sourceAddressPrefix": prefix }), [source, "10.0.0.4"]);
            assert_eq!(found, expected, "{prefix} and {source}");
            let list = json!({ "sourceAddressPrefix": "", "sourceAddressPrefixes": ["192.0.2.0/24", prefix] });
            assert_eq!(matches(list, [source, "10.0.0.4"]), expected, "{prefix} in a list, and {source}");
        }
    }

    #[test]
    fn ports_are_single_ranges_or_lists() {
        for (ports, expected) in
            [("*", true), ("22", true), ("20-22", true), ("23-80", false), ("2", false), ("nonsense", false)]
        {
            let found = matches(json!({ "destinationPortRange": ports }), ["203.0.113.9", "10.0.0.4"]);
            assert_eq!(found, expected, "{ports}");
        }
        let list = json!({ "destinationPortRange": "", "destinationPortRanges": ["80", "22"] });
        assert!(matches(list, ["203.0.113.9", "10.0.0.4"]));
        let from_a_server = json!({ "sourcePortRange": "22" });
        assert!(!matches(from_a_server, ["203.0.113.9", "10.0.0.4"]));
    }
}
