use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything that the routes of a deployment follow from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// The cluster's side.
    pub aks: AksSite,
    /// The datacenters.
    #[serde(default)]
    pub sites: Vec<Datacenter>,
    /// How the datacenters' pods are announced.
    #[serde(default)]
    pub strategy: Strategy,
    /// Prefixes that somebody else uses and that must not be ours: routes of other devices of the tailnet, peered networks, bridges.
    #[serde(default)]
    pub others: Vec<OtherPrefix>,
}

/// How a datacenter's pods are announced to the other sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// A prefix for each worker.
    PerNode,
    /// One prefix for each site: a new worker changes nothing at the other sites.
    #[default]
    PerSite,
}

/// The cluster's side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AksSite {
    /// The nodes that AKS manages, with their true pod blocks.
    pub nodes: Vec<Node>,
    /// Subnet of the nodes.
    #[schemars(with = "String")]
    pub node_subnet: Ipv4Net,
    /// Subnet of the router.
    #[schemars(with = "String")]
    pub router_subnet: Ipv4Net,
    /// The router.
    pub router: Router,
    /// Address space of the virtual network.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub virtual_network: Vec<Ipv4Net>,
    /// What the cluster's services have.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub service_cidr: Option<Ipv4Net>,
    /// What AKS carves the nodes' pod blocks from.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub pod_cidr: Option<Ipv4Net>,
}

/// A datacenter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Datacenter {
    /// Its name.
    pub name: String,
    /// What carries packets inside it.
    #[serde(default)]
    pub fabric: Fabric,
    /// Subnet of the router and the workers.
    #[schemars(with = "String")]
    pub subnet: Ipv4Net,
    /// Address space of its virtual network, if it has one.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub virtual_network: Vec<Ipv4Net>,
    /// The router.
    pub router: Router,
    /// The workers, with their allocated pod blocks.
    #[serde(default)]
    pub workers: Vec<Node>,
    /// What the workers' pod blocks are allocated from.
    #[schemars(with = "String")]
    pub pod_block: Ipv4Net,
}

/// What carries packets inside a datacenter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fabric {
    /// An Azure virtual network: a route table decides, NICs have a forwarding flag.
    #[default]
    Azure,
    /// One Ethernet segment: the machines' own kernel routes decide.
    L2,
}

/// A tailnet router beside a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Router {
    /// Name of the machine.
    pub name: String,
    /// Its address in its site's subnet.
    #[schemars(with = "String")]
    pub ip: Ipv4Addr,
}

/// A node of the cluster, in the form that the listing of nodes has; what else the listing says is ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its address.
    #[schemars(with = "String")]
    pub internal_ip: Ipv4Addr,
    /// Where its pods have their addresses; nothing while that is not known.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub pod_cidr: Option<Ipv4Net>,
}

/// A prefix that somebody else uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OtherPrefix {
    /// The prefix.
    #[schemars(with = "String")]
    pub prefix: Ipv4Net,
    /// Who uses it, in words: `device old-router of the tailnet`.
    pub source: String,
}

impl Datacenter {
    /// What the site's router announces to the other sites: its subnet, and where its pods are. No pods, no prefix for them.
    ///
    /// Blocks outside the site's, which workers had before there was one and keep, are announced one by one.
    pub(crate) fn announced(&self, strategy: Strategy) -> Vec<Ipv4Net> {
        let blocks = || blocks(&self.workers).map(|(_, block)| block);
        let pods: Vec<Ipv4Net> = match strategy {
            Strategy::PerNode => blocks().collect(),
            Strategy::PerSite => {
                let whole = blocks().find(|block| self.pod_block.contains(block)).map(|_| self.pod_block);
                whole.into_iter().chain(self.adopted().map(|(_, block)| block)).collect()
            }
        };
        std::iter::once(self.subnet).chain(pods).collect()
    }

    /// The workers with blocks outside the site's.
    pub(crate) fn adopted(&self) -> impl Iterator<Item = (&Node, Ipv4Net)> {
        blocks(&self.workers).filter(|(_, block)| !self.pod_block.contains(block))
    }
}

impl AksSite {
    /// What the cluster's router announces to the datacenters.
    pub(crate) fn announced(&self) -> Vec<Ipv4Net> {
        [self.node_subnet, self.router_subnet].into_iter().chain(blocks(&self.nodes).map(|(_, block)| block)).collect()
    }
}

/// The nodes whose pod block is known.
pub(crate) fn blocks(nodes: &[Node]) -> impl Iterator<Item = (&Node, Ipv4Net)> {
    nodes.iter().filter_map(|node| node.pod_cidr.map(|block| (node, block)))
}
