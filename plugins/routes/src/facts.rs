use std::{fmt::Display, net::Ipv4Addr, str::FromStr};

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// Data about hosts, sites and nodes from which the routes of a deployment are computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// The cluster's site.
    pub aks: AksSite,
    /// The datacenter sites.
    #[serde(default)]
    pub sites: Vec<Datacenter>,
    /// Granularity in which the datacenters' pod CIDRs are advertised.
    #[serde(default)]
    pub strategy: Strategy,
    /// Prefixes of other networks, which the sites must not use: routes of other devices of the
    /// tailnet, peered networks, bridges.
    #[serde(default)]
    pub others: Vec<OtherPrefix>,
}

/// Granularity in which a datacenter's pod CIDRs are advertised to the other sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// One prefix for each worker.
    PerNode,
    /// One prefix for each site, so that a new worker changes nothing at the other sites.
    #[default]
    PerSite,
}

/// The cluster's site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AksSite {
    /// Nodes that AKS manages, with their actual pod CIDRs.
    pub nodes: Vec<NodeFacts>,
    /// Subnet of the nodes.
    #[schemars(with = "String")]
    pub node_subnet: Ipv4Net,
    /// Subnet of the router.
    #[schemars(with = "String")]
    pub router_subnet: Ipv4Net,
    /// Router of the site.
    pub router: RouterFacts,
    /// Address space of the virtual network.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub virtual_network: Vec<Ipv4Net>,
    /// Prefix of the cluster's service addresses.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub service_cidr: Option<Ipv4Net>,
    /// Prefix from which AKS allocates the nodes' pod CIDRs.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub pod_cidr: Option<Ipv4Net>,
    /// Prefixes of datacenters without a site: only the nodes' route table has routes to them,
    /// through the router.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub datacenter_prefixes: Vec<Ipv4Net>,
}

/// A datacenter site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Datacenter {
    /// Name of the site.
    pub name: String,
    /// Network that connects its machines.
    #[serde(default)]
    pub fabric: SiteFabric,
    /// Subnet of the router and the workers.
    #[schemars(with = "String")]
    pub subnet: Ipv4Net,
    /// Address space of its virtual network, if it has one.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub virtual_network: Vec<Ipv4Net>,
    /// Router of the site.
    pub router: RouterFacts,
    /// Workers of the site, with their allocated pod CIDRs.
    #[serde(default)]
    pub workers: Vec<NodeFacts>,
    /// Site pod CIDR: the prefix from which the workers' pod CIDRs are allocated.
    #[schemars(with = "String")]
    pub pod_block: Ipv4Net,
}

/// Network that connects the machines of a datacenter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SiteFabric {
    /// An Azure virtual network: a route table decides, and NICs have an IP forwarding property.
    #[default]
    Azure,
    /// One Ethernet segment: the machines' own kernel routes decide.
    L2,
}

/// A router between a site and the tailnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouterFacts {
    /// Name of the machine.
    pub name: String,
    /// Address in the subnet of its site.
    #[schemars(with = "String")]
    pub ip: Ipv4Addr,
}

/// A node of the cluster, in the form of the node listing. Other fields of the listing are ignored.
///
/// A node without address or pod CIDR has no entries on any surface: there is no route to its pods
/// yet. Its pod CIDR must still not overlap another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NodeFacts {
    /// Name of the node.
    pub name: String,
    /// Address in the subnet of its site, or `None` while it is unknown: absent, null or empty.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub internal_ip: Option<Ipv4Addr>,
    /// Pod CIDR of the node, or `None` while it is unknown.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub pod_cidr: Option<Ipv4Net>,
}

/// Fields of a node as text, so that an error can name the node.
#[derive(Deserialize)]
struct NodeTexts {
    name: String,
    #[serde(default)]
    internal_ip: Option<String>,
    #[serde(default)]
    pod_cidr: Option<String>,
}

/// A prefix of another network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OtherPrefix {
    /// The prefix itself.
    #[schemars(with = "String")]
    pub prefix: Ipv4Net,
    /// Owner for messages: `device old-router of the tailnet`.
    pub source: String,
}

impl<'de> Deserialize<'de> for NodeFacts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let NodeTexts { name, internal_ip, pod_cidr } = NodeTexts::deserialize(deserializer)?;
        let internal_ip = parse(&name, "internal_ip", internal_ip).map_err(D::Error::custom)?;
        let pod_cidr = parse(&name, "pod_cidr", pod_cidr).map_err(D::Error::custom)?;
        Ok(Self { name, internal_ip, pod_cidr })
    }
}

/// Parses a field of a node; `None` if it is absent or empty.
fn parse<T: FromStr<Err: Display>>(node: &str, field: &str, text: Option<String>) -> Result<Option<T>, String> {
    let text = text.filter(|text| !text.is_empty());
    text.map(|text| text.parse().map_err(|e| format!("node {node:?}: {field} {text:?}: {e}"))).transpose()
}

impl NodeFacts {
    /// Address and pod CIDR; `None` if one of them is unknown.
    pub(crate) fn routed(&self) -> Option<(Ipv4Addr, Ipv4Net)> {
        self.internal_ip.zip(self.pod_cidr)
    }

    /// Reason for which there is no route to the node's pods; `None` if there is one.
    pub(crate) fn unrouted_reason(&self) -> Option<&'static str> {
        match (self.internal_ip, self.pod_cidr) {
            (None, _) => Some("its Node has no InternalIP of IPv4"),
            (_, None) => Some("its pod CIDR is not known"),
            (Some(_), Some(_)) => None,
        }
    }
}

impl Datacenter {
    /// Prefixes that the site's router advertises to the other sites: its subnet, and its pods if
    /// there are any.
    ///
    /// Pod CIDRs outside the site pod CIDR, which workers had before there was one and keep, are
    /// advertised one by one.
    pub(crate) fn advertised_prefixes(&self, strategy: Strategy) -> Vec<Ipv4Net> {
        let pod_cidrs = || routed(&self.workers).map(|(_, _, pod_cidr)| pod_cidr);
        let pods: Vec<Ipv4Net> = match strategy {
            Strategy::PerNode => pod_cidrs().collect(),
            Strategy::PerSite => {
                let whole = pod_cidrs().find(|pod_cidr| self.pod_block.contains(pod_cidr)).map(|_| self.pod_block);
                whole.into_iter().chain(self.adopted_pod_cidrs().map(|(_, pod_cidr)| pod_cidr)).collect()
            }
        };
        std::iter::once(self.subnet).chain(pods).collect()
    }

    /// Workers whose pod CIDR is outside the site pod CIDR.
    pub(crate) fn adopted_pod_cidrs(&self) -> impl Iterator<Item = (&NodeFacts, Ipv4Net)> {
        let routed = routed(&self.workers).map(|(worker, _, pod_cidr)| (worker, pod_cidr));
        routed.filter(|(_, pod_cidr)| !self.pod_block.contains(pod_cidr))
    }
}

impl AksSite {
    /// Prefixes that the cluster's router advertises to the datacenters.
    pub(crate) fn advertised_prefixes(&self) -> Vec<Ipv4Net> {
        let pods = routed(&self.nodes).map(|(_, _, pod_cidr)| pod_cidr);
        [self.node_subnet, self.router_subnet].into_iter().chain(pods).collect()
    }
}

/// Nodes to whose pods there are routes, with address and pod CIDR.
pub(crate) fn routed(nodes: &[NodeFacts]) -> impl Iterator<Item = (&NodeFacts, Ipv4Addr, Ipv4Net)> {
    nodes.iter().filter_map(|node| node.routed().map(|(ip, pod_cidr)| (node, ip, pod_cidr)))
}
