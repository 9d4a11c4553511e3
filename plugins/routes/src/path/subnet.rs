use std::{collections::BTreeMap, net::Ipv4Addr};

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::facts::{AksSite, Datacenter, Facts, SiteFabric, routed};

/// Packets that each subnet on the path must let pass.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubnetPaths {
    /// Subnet of the AKS nodes.
    pub nodes: SubnetPath,
    /// Subnet of the AKS router.
    pub router: SubnetPath,
    /// Subnets of the datacenters in Azure, by site.
    pub dc: BTreeMap<String, SubnetPath>,
}

/// Packets that one subnet must let pass.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubnetPath {
    /// Pods and machines of the site of the subnet.
    pub local: Vec<PathPrefix>,
    /// Pods and machines of the other sites.
    pub remote: Vec<PathPrefix>,
    /// True if machines of the subnet run pods, which send and receive packets.
    pub has_pods: bool,
    /// Address of the site's router, if it is in this subnet.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub router: Option<Ipv4Addr>,
    /// Prefixes that the tag `VirtualNetwork` has here in addition to those that can be read.
    #[schemars(with = "Vec<String>")]
    pub network: Vec<Ipv4Net>,
}

/// A source or destination of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct PathPrefix {
    /// The prefix itself.
    #[schemars(with = "String")]
    pub prefix: Ipv4Net,
    /// Prefix for a rule about it: that from which pod CIDRs are allocated.
    #[schemars(with = "String")]
    pub rule_prefix: Ipv4Net,
    /// True for pods, false for machines.
    pub pods: bool,
}

/// Packets that the subnets of all sites must let pass. A site without workers needs none.
pub(crate) fn paths(facts: &Facts) -> SubnetPaths {
    let sites: Vec<&Datacenter> = facts.sites.iter().filter(|site| !site.workers.is_empty()).collect();
    let of_site = datacenter_prefixes;
    let remote = sorted(sites.iter().flat_map(|site| of_site(site)));
    let local = if remote.is_empty() { Vec::new() } else { sorted(aks_prefixes(&facts.aks)) };
    let dc = sites.iter().filter(|site| site.fabric == SiteFabric::Azure).map(|site| {
        let others = sites.iter().filter(|other| other.name != site.name).flat_map(|other| of_site(other));
        let router_subnet = machines(facts.aks.router_subnet);
        let path = SubnetPath {
            local: sorted(of_site(site)),
            remote: sorted(aks_prefixes(&facts.aks).into_iter().chain([router_subnet]).chain(others)),
            has_pods: true,
            router: Some(site.router.ip),
            network: Vec::new(),
        };
        (site.name.clone(), path)
    });
    SubnetPaths {
        dc: dc.collect(),
        nodes: SubnetPath {
            local: local.clone(),
            remote: remote.clone(),
            has_pods: true,
            router: None,
            network: facts.aks.pod_cidr.into_iter().collect(),
        },
        router: SubnetPath { local, remote, has_pods: false, router: Some(facts.aks.router.ip), network: Vec::new() },
    }
}

fn aks_prefixes(aks: &AksSite) -> Vec<PathPrefix> {
    let pods = routed(&aks.nodes).map(|(_, _, prefix)| prefix);
    std::iter::once(machines(aks.node_subnet)).chain(pods.map(|prefix| pods_of(prefix, aks.pod_cidr))).collect()
}

/// Machines and pods of a datacenter. Without a worker's pod CIDR no address of the site's is in
/// use, and the routes that let packets pass may not exist.
fn datacenter_prefixes(site: &Datacenter) -> Vec<PathPrefix> {
    let pods = routed(&site.workers).map(|(_, _, prefix)| pods_of(prefix, Some(site.pod_block)));
    std::iter::once(machines(site.subnet)).chain(pods).collect()
}

fn machines(prefix: Ipv4Net) -> PathPrefix {
    PathPrefix { prefix, rule_prefix: prefix, pods: false }
}

/// Pods of a prefix, which was allocated from `block` if it is inside it.
fn pods_of(prefix: Ipv4Net, block: Option<Ipv4Net>) -> PathPrefix {
    let rule_prefix = block.filter(|block| block.contains(&prefix)).unwrap_or(prefix);
    PathPrefix { prefix, rule_prefix, pods: true }
}

fn sorted(prefixes: impl IntoIterator<Item = PathPrefix>) -> Vec<PathPrefix> {
    let mut prefixes: Vec<PathPrefix> = prefixes.into_iter().collect();
    prefixes.sort();
    prefixes.dedup();
    prefixes
}
