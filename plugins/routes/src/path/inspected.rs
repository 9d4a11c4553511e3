use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A subnet with what decides about its packets, in the form of `azure.subnet.inspect`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubnetFacts {
    /// Name of the subnet.
    pub name: String,
    /// Prefixes that belong to the virtual network: its own, and those of peered networks.
    #[serde(default)]
    pub network: Vec<String>,
    /// Security groups of the subnet and of the interfaces in it.
    #[serde(default)]
    pub security_groups: Vec<GroupFacts>,
    /// Route table of the subnet.
    #[serde(default)]
    pub route_table: Option<TableFacts>,
    /// Interfaces in the subnet.
    #[serde(default)]
    pub interfaces: Vec<InterfaceFacts>,
}

/// A network interface in Azure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InterfaceFacts {
    /// Name of the interface.
    pub name: String,
    /// Addresses of the interface.
    pub addresses: Vec<String>,
    /// True if IP forwarding is on: packets of other addresses are not dropped.
    pub forwards: bool,
}

/// A security group with all its rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupFacts {
    /// Name of the group.
    pub name: String,
    /// Name of its resource group.
    pub resource_group: String,
    /// True if it is the group of the subnet.
    pub of_subnet: bool,
    /// Addresses of the interfaces whose group it is.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// Rules of both directions, the default rules included.
    pub rules: Vec<RuleFacts>,
}

/// A rule of a security group, in Azure's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleFacts {
    /// Name of the rule.
    pub name: String,
    /// Priority of the rule: the lowest one that matches decides.
    pub priority: u32,
    /// `Inbound` or `Outbound`.
    pub direction: String,
    /// `Allow` or `Deny`.
    pub access: String,
    /// `Tcp`, `Udp`, `Icmp`, `Esp`, `Ah` or `*`.
    pub protocol: String,
    /// Prefixes and service tags of the source.
    pub sources: Vec<String>,
    /// Ports and ranges of the source.
    pub source_ports: Vec<String>,
    /// Prefixes and service tags of the destination.
    pub destinations: Vec<String>,
    /// Ports and ranges of the destination.
    pub destination_ports: Vec<String>,
    /// True if the rule names application security groups.
    #[serde(default)]
    pub by_application: bool,
}

/// A route table with all its routes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TableFacts {
    /// Name of the table.
    pub name: String,
    /// Name of its resource group.
    pub resource_group: String,
    /// All routes, those of service tags included.
    pub routes: Vec<RouteEntry>,
}

/// A route of a route table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteEntry {
    /// Name of the route.
    pub name: String,
    /// Destination of the packets: a prefix or a service tag.
    pub prefix: String,
    /// Type of the next hop, such as `VirtualAppliance`.
    pub next_hop_type: String,
    /// Address of the next hop, if its type has one.
    #[serde(default)]
    pub next_hop_ip: Option<String>,
    /// True if the route is a managed one of the cluster.
    #[serde(default)]
    pub managed: bool,
    /// Other cluster whose deployment has the route, if its name has one.
    #[serde(default)]
    pub other_cluster: Option<String>,
}

impl SubnetFacts {
    /// Prefixes of the tag `VirtualNetwork`: those of the network, and the destinations of the
    /// subnet's own routes.
    pub(super) fn virtual_network(&self) -> Vec<Ipv4Net> {
        let routes = self.route_table.iter().flat_map(|table| &table.routes);
        self.network.iter().chain(routes.map(|route| &route.prefix)).filter_map(|text| text.parse().ok()).collect()
    }
}

impl SubnetFacts {
    /// The interface with an address.
    pub(crate) fn interface(&self, ip: Ipv4Addr) -> Option<&InterfaceFacts> {
        let has = |text: &String| text.parse() == Ok(ip);
        self.interfaces.iter().find(|interface| interface.addresses.iter().any(has))
    }

    /// The narrowest prefix of the network, or of a peered one, that contains an address.
    pub(crate) fn local_prefix(&self, ip: Ipv4Addr) -> Option<Ipv4Net> {
        let prefixes = self.network.iter().filter_map(|text| text.parse::<Ipv4Net>().ok());
        prefixes.filter(|prefix| prefix.contains(&ip)).max_by_key(Ipv4Net::prefix_len)
    }
}

impl RouteEntry {
    /// Address of the machine that packets are sent to; `None` for another type of next hop.
    pub(crate) fn appliance(&self) -> Option<Ipv4Addr> {
        let hop = self.next_hop_ip.as_deref().filter(|_| self.next_hop_type == "VirtualAppliance")?;
        hop.parse().ok()
    }

    /// Destination of the route; `None` for a service tag and for IPv6.
    pub(crate) fn destination(&self) -> Option<Ipv4Net> {
        self.prefix.parse().ok()
    }

    /// True if the route sends packets to the machine with this address.
    pub(super) fn is_via(&self, hop: Ipv4Addr) -> bool {
        self.next_hop_type == "VirtualAppliance"
            && self.next_hop_ip.as_deref().and_then(|text| text.parse().ok()) == Some(hop)
    }
}
