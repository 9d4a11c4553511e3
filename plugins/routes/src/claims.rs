use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::{
    conflict::ConflictParty,
    facts::{AksSite, Datacenter, Facts, NodeFacts},
};

/// Addresses of the tailnet's devices: the shared address space of RFC 6598, all of which Tailscale
/// uses.
const TAILNET: (Ipv4Addr, u8) = (Ipv4Addr::new(100, 64, 0, 0), 10);

/// Purpose of a prefix. The number is the index of the site or the AKS node in the facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PrefixRole {
    Other,
    Tailnet,
    AksNetwork,
    SiteNetwork(usize),
    ClusterPods,
    Services,
    NodeSubnet,
    RouterSubnet,
    SiteSubnet(usize),
    SitePods(usize),
    NodePods(usize),
    WorkerPods(usize),
}

impl PrefixRole {
    /// Owner of the prefix in a conflict.
    pub(crate) fn party(self) -> ConflictParty {
        match self {
            Self::NodePods(node) => ConflictParty::AksNode(node),
            Self::SiteNetwork(site) | Self::SiteSubnet(site) | Self::SitePods(site) | Self::WorkerPods(site) => {
                ConflictParty::Site(site)
            }
            _ => ConflictParty::Other,
        }
    }
}

/// A prefix of the facts with its purpose and its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PrefixClaim {
    pub(crate) prefix: Ipv4Net,
    pub(crate) role: PrefixRole,
    /// Owner for messages: `pod CIDR of AKS node aks-1`.
    pub(crate) source: String,
}

impl PrefixClaim {
    pub(crate) fn new(prefix: Ipv4Net, role: PrefixRole, source: impl Into<String>) -> Self {
        Self { prefix, role, source: source.into() }
    }

    /// True if this prefix is a part of `outer` by design.
    pub(crate) fn may_be_part_of(&self, outer: &Self) -> bool {
        use PrefixRole::{
            AksNetwork, ClusterPods, NodePods, NodeSubnet, Other, RouterSubnet, SiteNetwork, SitePods, SiteSubnet,
            Tailnet, WorkerPods,
        };
        match (self.role, outer.role) {
            // Conflicts between other networks do not affect the deployment.
            (Other | Tailnet, Other | Tailnet)
            | (NodeSubnet | RouterSubnet, AksNetwork)
            | (NodePods(_) | SitePods(_) | WorkerPods(_), ClusterPods) => true,
            (SiteSubnet(inner), SiteNetwork(outer)) | (WorkerPods(inner), SitePods(outer)) => inner == outer,
            _ => false,
        }
    }
}

/// All prefixes of the facts, and the tailnet's own.
pub(crate) fn claims(facts: &Facts) -> Vec<PrefixClaim> {
    // A default route belongs to an exit node, which the sites' routers do not use.
    let others = facts.others.iter().filter(|other| other.prefix.prefix_len() > 0);
    let others = others.map(|other| PrefixClaim::new(other.prefix, PrefixRole::Other, &other.source));
    let sites = facts.sites.iter().enumerate().flat_map(|(index, site)| site_claims(index, site));
    std::iter::once(tailnet_claim()).chain(others).chain(aks_claims(&facts.aks)).chain(sites).collect()
}

/// All prefixes of one site, and the tailnet's own.
pub(crate) fn claims_of_site(site: &Datacenter) -> Vec<PrefixClaim> {
    std::iter::once(tailnet_claim()).chain(site_claims(0, site)).collect()
}

fn tailnet_claim() -> PrefixClaim {
    let prefix = Ipv4Net::new_assert(TAILNET.0, TAILNET.1);
    PrefixClaim::new(prefix, PrefixRole::Tailnet, "the tailnet's device addresses")
}

fn aks_claims(aks: &AksSite) -> Vec<PrefixClaim> {
    let networks = aks
        .virtual_network
        .iter()
        .map(|prefix| PrefixClaim::new(*prefix, PrefixRole::AksNetwork, "the AKS virtual network"));
    let optional = [
        aks.service_cidr.map(|prefix| PrefixClaim::new(prefix, PrefixRole::Services, "the cluster's service CIDR")),
        aks.pod_cidr.map(|prefix| PrefixClaim::new(prefix, PrefixRole::ClusterPods, "the cluster's pod CIDR")),
    ];
    let subnets = [
        PrefixClaim::new(aks.node_subnet, PrefixRole::NodeSubnet, "the AKS node subnet"),
        PrefixClaim::new(aks.router_subnet, PrefixRole::RouterSubnet, "the AKS router's subnet"),
    ];
    let pods = pod_cidrs(&aks.nodes).map(|(index, node, pod_cidr)| {
        PrefixClaim::new(pod_cidr, PrefixRole::NodePods(index), format!("pod CIDR of AKS node {}", node.name))
    });
    networks.chain(optional.into_iter().flatten()).chain(subnets).chain(pods).collect()
}

/// Prefixes of a site, which has this index in the facts.
fn site_claims(index: usize, site: &Datacenter) -> Vec<PrefixClaim> {
    let name = &site.name;
    let networks = site.virtual_network.iter().map(|prefix| {
        PrefixClaim::new(*prefix, PrefixRole::SiteNetwork(index), format!("virtual network of site {name}"))
    });
    let own = [
        PrefixClaim::new(site.subnet, PrefixRole::SiteSubnet(index), format!("subnet of site {name}")),
        PrefixClaim::new(site.pod_block, PrefixRole::SitePods(index), format!("pod CIDR of site {name}")),
    ];
    let pods = pod_cidrs(&site.workers).map(|(_, worker, pod_cidr)| {
        let source = format!("pod CIDR of worker {} in site {name}", worker.name);
        PrefixClaim::new(pod_cidr, PrefixRole::WorkerPods(index), source)
    });
    networks.chain(own).chain(pods).collect()
}

/// Nodes whose pod CIDR is known, with their index and the pod CIDR.
fn pod_cidrs(nodes: &[NodeFacts]) -> impl Iterator<Item = (usize, &NodeFacts, Ipv4Net)> {
    nodes.iter().enumerate().filter_map(|(index, node)| Some((index, node, node.pod_cidr?)))
}
