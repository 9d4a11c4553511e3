use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::facts::{TraceFacts, TracedHost};
use crate::{
    facts::{Datacenter, SiteFabric},
    path::SubnetFacts,
};

/// Function of a machine in the deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    AksNode,
    AksRouter,
    SiteRouter,
    Worker,
}

/// Machine that a packet passes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Machine<'a> {
    pub(super) name: &'a str,
    pub(super) role: Role,
    pub(super) ip: Ipv4Addr,
    /// Site of the machine; `None` for the cluster's.
    pub(super) site: Option<&'a Datacenter>,
}

impl Machine<'_> {
    pub(super) fn is_router(&self) -> bool {
        matches!(self.role, Role::AksRouter | Role::SiteRouter)
    }

    /// True if both are in the cluster, or in one datacenter.
    pub(super) fn is_at_site_of(&self, other: &Machine<'_>) -> bool {
        self.site.map(|site| &site.name) == other.site.map(|site| &site.name)
    }

    /// Words for the machine.
    pub(super) fn label(&self) -> String {
        let role = match self.role {
            Role::AksNode => "AKS node",
            Role::AksRouter => "AKS router",
            Role::SiteRouter => "site router",
            Role::Worker => "worker",
        };
        format!("{role} {}", self.name)
    }
}

impl TraceFacts {
    /// All machines of the deployment that have an address.
    pub(super) fn machines(&self) -> impl Iterator<Item = Machine<'_>> {
        let machine = |name, role, ip, site| Machine { name, role, ip, site };
        let nodes = self.aks_nodes.iter();
        let nodes = nodes.filter_map(move |node| Some(machine(&node.name, Role::AksNode, node.internal_ip?, None)));
        let router = machine(&self.aks_router.name, Role::AksRouter, self.aks_router.ip, None);
        let sites = self.sites.iter().flat_map(move |site| {
            let router = machine(&site.router.name, Role::SiteRouter, site.router.ip, Some(site));
            let workers = site.workers.iter();
            let workers =
                workers.filter_map(move |node| Some(machine(&node.name, Role::Worker, node.internal_ip?, Some(site))));
            std::iter::once(router).chain(workers)
        });
        nodes.chain(std::iter::once(router)).chain(sites)
    }

    pub(super) fn machine(&self, name: &str) -> Option<Machine<'_>> {
        self.machines().find(|machine| machine.name == name)
    }

    /// Prefix of the pods of a machine.
    pub(super) fn pod_cidr(&self, machine: &Machine<'_>) -> Option<Ipv4Net> {
        let nodes = self.aks_nodes.iter().chain(self.sites.iter().flat_map(|site| &site.workers));
        nodes.filter(|node| node.name == machine.name).find_map(|node| node.pod_cidr)
    }

    /// Facts that were read on a machine; `None` for one that is not inspected, such as a node of
    /// AKS.
    pub(super) fn host(&self, machine: &Machine<'_>) -> Option<&TracedHost> {
        self.router_hosts.get(machine.name).or_else(|| self.worker_hosts.get(machine.name))
    }

    /// Subnet of a machine in Azure; `None` on an Ethernet segment.
    pub(super) fn subnet(&self, machine: &Machine<'_>) -> Option<&SubnetFacts> {
        match (machine.role, machine.site) {
            (Role::AksNode, _) => Some(&self.node_subnet),
            (Role::AksRouter, _) => Some(&self.router_subnet),
            (_, Some(site)) if site.fabric == SiteFabric::Azure => self.site_subnets.get(&site.name),
            _ => None,
        }
    }
}
