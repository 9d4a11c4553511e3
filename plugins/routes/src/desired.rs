use std::{collections::BTreeMap, net::Ipv4Addr};

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The desired entries of every surface, from one set of facts. Lists are sorted, so that equal facts give equal entries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Desired {
    /// Table of the AKS nodes' subnet: the datacenters behind the AKS router.
    pub aks_routes: Vec<CloudRoute>,
    /// Table of the AKS router's subnet: each AKS node's pods behind the node.
    pub router_routes: Vec<CloudRoute>,
    /// Tables of the datacenters' subnets by site: the other sites behind the router, each worker's pods behind the worker. Empty
    /// where the site has no Azure fabric.
    pub dc_routes: BTreeMap<String, Vec<CloudRoute>>,
    /// Machines that pass on packets of others.
    pub forwarding: Vec<Forwarding>,
    /// Kernel routes of the sites where no cloud routes for the machines, by site. None is covered by a route that the tailnet
    /// brings, which the kernel would prefer.
    pub kernel: BTreeMap<String, Segment>,
    /// What each router advertises to the tailnet, and what is to be approved: the full sets.
    pub advertise: Advertised,
    /// Pod CIDRs of every node's `CiliumNode`.
    pub cilium: Vec<CiliumNode>,
    /// Nodes without a known pod block: nothing leads to their pods. While there are any, what looks stale may be theirs: do not prune.
    pub unrouted: Vec<String>,
    /// What will be a limit soon, or a surprise.
    pub warnings: Vec<String>,
}

/// A user-defined route to a virtual appliance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct CloudRoute {
    /// Where it leads.
    #[schemars(with = "String")]
    pub prefix: Ipv4Net,
    /// Who takes the packets on.
    #[schemars(with = "String")]
    pub next_hop_ip: Ipv4Addr,
}

/// A machine that passes on packets of others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Forwarding {
    /// Name of the machine. Its kernel is to forward IPv4.
    pub host: String,
    /// Whether its NIC needs Azure's flag too.
    pub nic: bool,
}

/// Kernel routes of the machines of one segment. They are told once for all of its workers: by worker they would be the square
/// of their number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Segment {
    /// The other sites behind the router: for every worker.
    pub far: Vec<KernelRoute>,
    /// Each worker's pods behind the worker: for the router, and for every worker but those by way of itself.
    pub near: Vec<KernelRoute>,
}

/// A route of a machine's kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct KernelRoute {
    /// Where it leads.
    #[schemars(with = "String")]
    pub prefix: Ipv4Net,
    /// The neighbour.
    #[schemars(with = "String")]
    pub via: Ipv4Addr,
}

/// What the routers advertise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Advertised {
    /// The AKS router.
    #[schemars(with = "Vec<String>")]
    pub aks: Vec<Ipv4Net>,
    /// The datacenters' routers, by site.
    #[schemars(with = "BTreeMap<String, Vec<String>>")]
    pub dc: BTreeMap<String, Vec<Ipv4Net>>,
}

/// Pod CIDRs of a `CiliumNode`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct CiliumNode {
    /// Name of the node.
    pub name: String,
    /// `spec.ipam.podCIDRs`.
    #[schemars(with = "Vec<String>")]
    pub pod_cidrs: Vec<Ipv4Net>,
}
