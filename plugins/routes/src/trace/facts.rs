use std::{collections::BTreeMap, net::Ipv4Addr};

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{access::TracedAccess, cilium::TracedCilium};
use crate::{
    facts::{Datacenter, NodeFacts, RouterFacts},
    path::{DeviceFacts, SubnetFacts},
};

/// Actual state of all surfaces between two ends.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TraceFacts {
    /// End that sends the request.
    pub from: TraceEnd,
    /// End that answers.
    pub to: TraceEnd,
    /// Port of the connection.
    #[serde(default = "default_port")]
    pub port: u16,
    /// Prefix from which the cluster allocates the pod CIDRs of its nodes.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub cluster_pods: Option<Ipv4Net>,
    /// Router of the cluster's site.
    pub aks_router: RouterFacts,
    /// Nodes that AKS manages.
    pub aks_nodes: Vec<NodeFacts>,
    /// Sites with their machines.
    pub sites: Vec<Datacenter>,
    /// Routers of all sites, with their devices in the tailnet.
    pub routers: Vec<TracedRouter>,
    /// Subnet of the AKS nodes.
    pub node_subnet: SubnetFacts,
    /// Subnet of the AKS router.
    pub router_subnet: SubnetFacts,
    /// Subnets of the sites in Azure, by the name of the site.
    #[serde(default)]
    pub site_subnets: BTreeMap<String, SubnetFacts>,
    /// Devices of the tailnet.
    pub devices: Vec<DeviceFacts>,
    /// Routers that were inspected, by name.
    #[serde(default)]
    pub router_hosts: BTreeMap<String, TracedHost>,
    /// Workers that were inspected, by name.
    #[serde(default)]
    pub worker_hosts: BTreeMap<String, TracedHost>,
    /// Network policies of the cluster that concern the ends.
    #[serde(default)]
    pub policies: TracedPolicies,
    /// State of Cilium; `None` if the cluster has another data plane.
    #[serde(default)]
    pub cilium: Option<TracedCilium>,
    /// Access rules of the tailnet; `None` if they were not asked about.
    #[serde(default)]
    pub access: Option<TracedAccess>,
}

/// Network policies between two pods, in the form of `kubernetes.network_policies.inspect`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct TracedPolicies {
    /// Ends that policies isolate from the connection.
    pub denials: Vec<PolicyDenial>,
    /// Policies that were not read or not evaluated, each with the reason.
    pub unread: Vec<String>,
}

/// Network policies that isolate a pod, none of which admits the connection.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct PolicyDenial {
    /// True if the pod opens the connection, false if it answers.
    pub egress: bool,
    /// Namespace of the pod and the policies.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// Names of the policies.
    pub policies: Vec<String>,
}

fn default_port() -> u16 {
    80
}

/// End of a path: a pod, or a machine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct TraceEnd {
    /// Name as it was given, or of the object with that address.
    pub name: String,
    /// Address of the end.
    #[schemars(with = "String")]
    pub ip: Ipv4Addr,
    /// Name of the machine that the end is, or is on.
    pub machine: String,
    /// True if the end is a pod with an address of its own.
    pub pod: bool,
}

/// Router with its device. Other fields of the inventory are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct TracedRouter {
    /// Name of the router.
    pub name: String,
    /// Node id of its device in the tailnet.
    pub node_id: String,
}

/// Network configuration in force on a host, in the form of `ssh.network.inspect`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct TracedHost {
    /// Reason for which the host could not be read.
    #[serde(default)]
    pub unread: Option<String>,
    /// True if the kernel forwards packets.
    #[serde(default)]
    pub forwarding: bool,
    /// Interfaces whose reverse path filter is strict.
    #[serde(default)]
    pub strict_path_filters: Vec<String>,
    /// Tables in the order in which the kernel looks packets up.
    #[serde(default)]
    pub tables: Vec<String>,
    /// Routes of all tables.
    #[serde(default)]
    pub routes: Vec<HostRoute>,
    /// State of tailscaled; `None` on a host that is not a router.
    #[serde(default)]
    pub tailscale: Option<HostTailscale>,
    /// True if the segments of TCP through the tunnel are clamped; `None` on a host that
    /// is not a router.
    #[serde(default)]
    pub clamped: Option<bool>,
    /// Chains of the firewall that drop packets between the ends.
    #[serde(default)]
    pub dropping: Vec<FirewallDrop>,
}

/// Route of a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct HostRoute {
    /// Table of the route.
    pub table: String,
    /// Destination: a prefix, an address, or `default`.
    pub destination: String,
    /// Address of the gateway, if the route has one.
    pub gateway: Option<String>,
    /// Interface that packets leave by.
    pub device: Option<String>,
    /// Type of the route if it is not a unicast route, such as `blackhole`.
    pub kind: Option<String>,
    /// Metric of the route.
    #[serde(default)]
    pub metric: u32,
}

/// State of tailscaled on a router.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct HostTailscale {
    /// `Running` if it is connected to the tailnet, `KeyExpired` if its key has expired.
    pub state: String,
    /// Stable node id of the device.
    pub node_id: String,
    /// True if routes of other devices are installed.
    pub accept_routes: bool,
    /// True if forwarded packets get the device's own source address.
    pub snat: bool,
    /// True if only replies pass into the tunnel.
    pub stateful_filtering: bool,
    /// Routes that the device advertises.
    pub advertised: Vec<String>,
}

/// Chain of a firewall that drops a packet.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct FirewallDrop {
    /// Source of the packet.
    #[schemars(with = "String")]
    pub source: Ipv4Addr,
    /// Destination of the packet.
    #[schemars(with = "String")]
    pub destination: Ipv4Addr,
    /// True if the packet comes out of the tunnel.
    pub from_tunnel: bool,
    /// True if the packet goes into the tunnel.
    pub to_tunnel: bool,
    /// True if the packet answers one that the host has forwarded.
    #[serde(default)]
    pub reply: bool,
    /// Family and name of the table.
    pub table: String,
    /// Name of the chain.
    pub chain: String,
}

impl HostRoute {
    /// Destination as a prefix; `None` for IPv6.
    pub(super) fn prefix(&self) -> Option<Ipv4Net> {
        match self.destination.as_str() {
            "default" => Some(Ipv4Net::default()),
            text => text.parse().ok().or_else(|| text.parse::<Ipv4Addr>().ok().map(Ipv4Net::from)),
        }
    }
}
