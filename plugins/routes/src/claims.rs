use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::facts::{AksSite, Datacenter, Facts, blocks};

/// Addresses of the tailnet's devices: RFC 6598's shared space, all of which Tailscale uses.
const TAILNET: (Ipv4Addr, u8) = (Ipv4Addr::new(100, 64, 0, 0), 10);

/// What a prefix is for. The number is the site's place in the facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Other,
    Tailnet,
    AksNetwork,
    SiteNetwork(usize),
    ClusterPods,
    Services,
    NodeSubnet,
    RouterSubnet,
    SiteSubnet(usize),
    SiteBlock(usize),
    NodeBlock,
    WorkerBlock(usize),
}

/// A prefix and who claims it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) prefix: Ipv4Net,
    pub(crate) role: Role,
    /// In words: `pod block of node aks-1`.
    pub(crate) source: String,
}

impl Claim {
    fn new(prefix: Ipv4Net, role: Role, source: impl Into<String>) -> Self {
        Self { prefix, role, source: source.into() }
    }

    /// Whether this one is a part of `outer` by design.
    pub(crate) fn may_lie_in(&self, outer: &Self) -> bool {
        match (self.role, outer.role) {
            // What others do to each other is not ours to judge.
            (Role::Other | Role::Tailnet, Role::Other | Role::Tailnet)
            | (Role::NodeSubnet | Role::RouterSubnet, Role::AksNetwork)
            | (Role::NodeBlock | Role::SiteBlock(_) | Role::WorkerBlock(_), Role::ClusterPods) => true,
            (Role::SiteSubnet(inner), Role::SiteNetwork(outer))
            | (Role::WorkerBlock(inner), Role::SiteBlock(outer)) => inner == outer,
            _ => false,
        }
    }
}

/// Every prefix of the facts, and the tailnet's own.
pub(crate) fn claims(facts: &Facts) -> Vec<Claim> {
    let tailnet =
        Claim::new(Ipv4Net::new_assert(TAILNET.0, TAILNET.1), Role::Tailnet, "the tailnet's device addresses");
    // A default route is an exit node's, which no router of ours follows.
    let others = facts.others.iter().filter(|other| other.prefix.prefix_len() > 0);
    let others = others.map(|other| Claim::new(other.prefix, Role::Other, &other.source));
    let sites = facts.sites.iter().enumerate().flat_map(|(index, site)| of_site(index, site));
    std::iter::once(tailnet).chain(others).chain(of_aks(&facts.aks)).chain(sites).collect()
}

fn of_aks(aks: &AksSite) -> Vec<Claim> {
    let networks =
        aks.virtual_network.iter().map(|prefix| Claim::new(*prefix, Role::AksNetwork, "the AKS virtual network"));
    let optional = [
        aks.service_cidr.map(|prefix| Claim::new(prefix, Role::Services, "the cluster's service CIDR")),
        aks.pod_cidr.map(|prefix| Claim::new(prefix, Role::ClusterPods, "the cluster's pod CIDR")),
    ];
    let subnets = [
        Claim::new(aks.node_subnet, Role::NodeSubnet, "the AKS node subnet"),
        Claim::new(aks.router_subnet, Role::RouterSubnet, "the AKS router's subnet"),
    ];
    let pods = blocks(&aks.nodes)
        .map(|(node, block)| Claim::new(block, Role::NodeBlock, format!("pod block of AKS node {}", node.name)));
    networks.chain(optional.into_iter().flatten()).chain(subnets).chain(pods).collect()
}

fn of_site(index: usize, site: &Datacenter) -> Vec<Claim> {
    let name = &site.name;
    let networks = site
        .virtual_network
        .iter()
        .map(|prefix| Claim::new(*prefix, Role::SiteNetwork(index), format!("virtual network of site {name}")));
    let own = [
        Claim::new(site.subnet, Role::SiteSubnet(index), format!("subnet of site {name}")),
        Claim::new(site.pod_block, Role::SiteBlock(index), format!("pod block of site {name}")),
    ];
    let pods = blocks(&site.workers).map(|(worker, block)| {
        Claim::new(block, Role::WorkerBlock(index), format!("pod block of worker {} in site {name}", worker.name))
    });
    networks.chain(own).chain(pods).collect()
}
