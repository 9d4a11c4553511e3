use std::{collections::BTreeMap, fmt::Display, net::Ipv4Addr};

use ipnet::Ipv4Net;

use crate::{
    conflict::Conflict,
    facts::{Facts, NodeFacts, RouterFacts},
};

/// A router, node or worker with its address and the subnet that must contain it.
struct NamedAddress<'a> {
    /// Kind and name for messages: `worker w-1`.
    label: String,
    name: &'a str,
    /// `None` while the address of a node is unknown.
    ip: Option<Ipv4Addr>,
    subnet: Ipv4Net,
    /// The subnet for messages: `the subnet of site dc`.
    subnet_label: String,
}

/// Conflicts of machines that share a name or an address, or whose address is in another subnet.
pub(crate) fn address_conflicts(facts: &Facts) -> Vec<Conflict> {
    let machines = machines(facts);
    let sites = facts.sites.iter().map(|site| (site.name.clone(), format!("site {}", site.name)));
    let names = machines.iter().map(|machine| (machine.name, machine.label.clone()));
    let addresses = machines.iter().filter_map(|machine| Some((machine.ip?, machine.label.clone())));
    let mut conflicts = duplicates(sites, "name", "give each site a name of its own");
    conflicts.extend(duplicates(
        names,
        "name",
        "give each machine a name of its own, or drop the stale one from the list",
    ));
    conflicts.extend(duplicates(
        addresses,
        "address",
        "one of the two is stale or misconfigured: drop it from the list, or renumber it",
    ));
    conflicts.extend(machines.iter().filter_map(outside_subnet));
    conflicts
}

fn machines(facts: &Facts) -> Vec<NamedAddress<'_>> {
    let aks = &facts.aks;
    let aks_router = router(&aks.router, aks.router_subnet, "the AKS router's subnet".to_owned());
    let nodes = aks.nodes.iter().map(|it| node("AKS node", it, aks.node_subnet, "the AKS node subnet".to_owned()));
    let sites = facts.sites.iter().flat_map(|site| {
        let subnet_label = format!("the subnet of site {}", site.name);
        let site_router = router(&site.router, site.subnet, subnet_label.clone());
        let workers = site.workers.iter().map(move |it| node("worker", it, site.subnet, subnet_label.clone()));
        std::iter::once(site_router).chain(workers)
    });
    std::iter::once(aks_router).chain(nodes).chain(sites).collect()
}

fn router(router: &RouterFacts, subnet: Ipv4Net, subnet_label: String) -> NamedAddress<'_> {
    NamedAddress {
        label: format!("router {}", router.name),
        name: &router.name,
        ip: Some(router.ip),
        subnet,
        subnet_label,
    }
}

fn node<'a>(kind: &str, node: &'a NodeFacts, subnet: Ipv4Net, subnet_label: String) -> NamedAddress<'a> {
    NamedAddress {
        label: format!("{kind} {}", node.name),
        name: &node.name,
        ip: node.internal_ip,
        subnet,
        subnet_label,
    }
}

/// A conflict for each item after the first one of the same key. `noun` names the key: `address`.
fn duplicates<K: Ord + Display>(items: impl Iterator<Item = (K, String)>, noun: &str, hint: &str) -> Vec<Conflict> {
    let mut first: BTreeMap<K, String> = BTreeMap::new();
    let mut conflicts = Vec::new();
    for (key, label) in items {
        match first.get(&key) {
            Some(other) => {
                conflicts.push(Conflict::new(format!("{other} and {label} have the same {noun}, {key}"), hint));
            }
            None => drop(first.insert(key, label)),
        }
    }
    conflicts
}

fn outside_subnet(machine: &NamedAddress<'_>) -> Option<Conflict> {
    let NamedAddress { label, subnet, subnet_label, .. } = machine;
    let ip = machine.ip.filter(|ip| !subnet.contains(ip))?;
    let message = format!("address {ip} of {label} is outside {subnet_label}, {subnet}");
    Some(Conflict::new(message, "no route would lead to it: correct the address or the subnet"))
}
