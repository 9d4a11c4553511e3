use std::{collections::BTreeMap, net::Ipv4Addr};

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::path::SubnetPaths;

/// Desired entries of all surfaces, from one set of facts. All lists are sorted, so that equal
/// facts give equal entries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DesiredEntries {
    /// Route table of the AKS nodes' subnet: the datacenters, through the AKS router.
    pub aks_routes: Vec<CloudRoute>,
    /// The same table: the datacenters without a site. Their prefixes can contain other
    /// networks, which have narrower routes.
    #[serde(default)]
    pub static_routes: Vec<CloudRoute>,
    /// Route table of the AKS router's subnet: the pods of each AKS node, through the node.
    pub router_routes: Vec<CloudRoute>,
    /// Route tables of the datacenters' subnets, by site: the other sites through the router, and
    /// the pods of each worker through the worker. Empty for a site without Azure fabric.
    pub dc_routes: BTreeMap<String, Vec<CloudRoute>>,
    /// Machines that must forward packets of other machines.
    pub forwarding: Vec<ForwardingHost>,
    /// Kernel routes of the sites whose fabric does not route, by site. None is covered by a route
    /// that Tailscale installs, which the kernel would prefer.
    pub kernel: BTreeMap<String, SegmentRoutes>,
    /// Routes that each router advertises and that must be approved: the full sets.
    pub advertise: AdvertisedRoutes,
    /// Packets that the security groups of each subnet on the path must let pass.
    pub paths: SubnetPaths,
    /// Pod CIDRs of each node's `CiliumNode`.
    pub cilium: Vec<CiliumNode>,
    /// Nodes without a known address or pod CIDR, and AKS nodes of which one conflicts with other
    /// facts. There is no route to their pods. Entries that look stale may belong to them: the
    /// caller must not prune while there are any.
    pub unrouted: Vec<UnroutedNode>,
    /// Texts for people about limits that are close, and about unexpected addresses.
    pub warnings: Vec<String>,
}

/// A user-defined route of an Azure route table to a virtual appliance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct CloudRoute {
    /// Destination of the packets.
    #[schemars(with = "String")]
    pub prefix: Ipv4Net,
    /// Address of the machine that forwards them.
    #[schemars(with = "String")]
    pub next_hop_ip: Ipv4Addr,
}

/// A machine that must forward packets of other machines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct ForwardingHost {
    /// Name of the machine, whose kernel must forward IPv4.
    pub host: String,
    /// True if its NIC also needs Azure's IP forwarding property.
    pub nic: bool,
}

/// Kernel routes of the machines of one Ethernet segment. They are listed once for all workers,
/// because lists by worker would grow with the square of their number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SegmentRoutes {
    /// Routes to the other sites through the router, for each worker.
    #[serde(rename = "far")]
    pub remote: Vec<DesiredKernelRoute>,
    /// Routes to each worker's pods through the worker, for the router and for all other workers.
    #[serde(rename = "near")]
    pub local: Vec<DesiredKernelRoute>,
}

/// A desired route of a machine's kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct DesiredKernelRoute {
    /// Destination of the packets.
    #[schemars(with = "String")]
    pub prefix: Ipv4Net,
    /// Address of the next hop, in the machine's own subnet.
    #[schemars(with = "String")]
    pub via: Ipv4Addr,
}

/// Routes that the routers advertise to the tailnet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdvertisedRoutes {
    /// Routes of the AKS router.
    #[schemars(with = "Vec<String>")]
    pub aks: Vec<Ipv4Net>,
    /// Routes of the datacenters' routers, by site.
    #[schemars(with = "BTreeMap<String, Vec<String>>")]
    pub dc: BTreeMap<String, Vec<Ipv4Net>>,
}

/// A node that was left out of the computation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct UnroutedNode {
    /// Name of the node.
    pub name: String,
    /// Reason for which there is no route to its pods.
    pub reason: String,
    /// Action that the reader can take; `None` if the node is only not complete yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Pod CIDRs of one `CiliumNode`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct CiliumNode {
    /// Name of the node.
    pub name: String,
    /// Value of `spec.ipam.podCIDRs`.
    #[schemars(with = "Vec<String>")]
    pub pod_cidrs: Vec<Ipv4Net>,
}
