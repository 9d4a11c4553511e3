use std::{collections::BTreeMap, fmt::Display, net::Ipv4Addr};

use ipnet::Ipv4Net;

use crate::{
    conflict::{Conflict, ConflictParty, FoundConflict},
    facts::{Datacenter, Facts, NodeFacts, RouterFacts},
};

/// A router, node or worker with its address and the subnet that must contain it.
struct NamedAddress<'a> {
    party: ConflictParty,
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
pub(crate) fn address_conflicts(facts: &Facts) -> Vec<FoundConflict> {
    let sites = facts.sites.iter().enumerate();
    let sites =
        sites.map(|(index, site)| (site.name.clone(), format!("site {}", site.name), ConflictParty::Site(index)));
    let mut conflicts = duplicates(sites, "name", "give each site a name of its own");
    conflicts.extend(machine_conflicts(&machines(facts)));
    conflicts
}

/// Conflicts of the machines of one site, without the rest of the deployment.
pub(crate) fn site_address_conflicts(site: &Datacenter) -> Vec<FoundConflict> {
    machine_conflicts(&site_machines(0, site).collect::<Vec<_>>())
}

/// The conflict of a site whose subnet is outside its virtual network, if it has one.
pub(crate) fn site_subnet_conflict(Datacenter { name, subnet, virtual_network, .. }: &Datacenter) -> Option<Conflict> {
    if virtual_network.is_empty() || virtual_network.iter().any(|prefix| prefix.contains(subnet)) {
        return None;
    }
    let prefixes: Vec<String> = virtual_network.iter().map(ToString::to_string).collect();
    let message = format!("subnet of site {name}, {subnet}, is outside its virtual network, {}", prefixes.join(", "));
    Some(Conflict::new(message, "choose a subnet that is a part of the network"))
}

fn machine_conflicts(machines: &[NamedAddress<'_>]) -> Vec<FoundConflict> {
    let names = machines.iter().map(|machine| (machine.name, machine.label.clone(), machine.party_of_name()));
    let addresses = machines.iter().filter_map(|machine| Some((machine.ip?, machine.label.clone(), machine.party)));
    let mut conflicts =
        duplicates(names, "name", "give each machine a name of its own, or drop the stale one from the list");
    conflicts.extend(duplicates(
        addresses,
        "address",
        "one of the two is stale or misconfigured: drop it from the list, or renumber it",
    ));
    conflicts.extend(machines.iter().filter_map(outside_subnet));
    conflicts
}

impl NamedAddress<'_> {
    /// Owner of the name in a conflict. An AKS node is not one: another machine has taken its name,
    /// and leaving the node out would not resolve that.
    fn party_of_name(&self) -> ConflictParty {
        match self.party {
            ConflictParty::AksNode(_) => ConflictParty::Other,
            party => party,
        }
    }
}

fn machines(facts: &Facts) -> Vec<NamedAddress<'_>> {
    let aks = &facts.aks;
    let aks_router = router(ConflictParty::Other, &aks.router, aks.router_subnet, "the AKS router's subnet".to_owned());
    let nodes = aks.nodes.iter().enumerate().map(|(index, it)| {
        node(ConflictParty::AksNode(index), "AKS node", it, aks.node_subnet, "the AKS node subnet".to_owned())
    });
    let sites = facts.sites.iter().enumerate().flat_map(|(index, site)| site_machines(index, site));
    std::iter::once(aks_router).chain(nodes).chain(sites).collect()
}

/// Router and workers of a site, which has this index in the facts.
fn site_machines(index: usize, site: &Datacenter) -> impl Iterator<Item = NamedAddress<'_>> {
    let party = ConflictParty::Site(index);
    let subnet_label = format!("the subnet of site {}", site.name);
    let site_router = router(party, &site.router, site.subnet, subnet_label.clone());
    let workers = site.workers.iter().map(move |it| node(party, "worker", it, site.subnet, subnet_label.clone()));
    std::iter::once(site_router).chain(workers)
}

fn router(party: ConflictParty, router: &RouterFacts, subnet: Ipv4Net, subnet_label: String) -> NamedAddress<'_> {
    NamedAddress {
        party,
        label: format!("router {}", router.name),
        name: &router.name,
        ip: Some(router.ip),
        subnet,
        subnet_label,
    }
}

fn node<'a>(
    party: ConflictParty,
    kind: &str,
    node: &'a NodeFacts,
    subnet: Ipv4Net,
    subnet_label: String,
) -> NamedAddress<'a> {
    NamedAddress {
        party,
        label: format!("{kind} {}", node.name),
        name: &node.name,
        ip: node.internal_ip,
        subnet,
        subnet_label,
    }
}

/// A conflict for each item after the first one of the same key. `noun` names the key: `address`.
fn duplicates<K: Ord + Display>(
    items: impl Iterator<Item = (K, String, ConflictParty)>,
    noun: &str,
    hint: &str,
) -> Vec<FoundConflict> {
    let mut first: BTreeMap<K, (String, ConflictParty)> = BTreeMap::new();
    let mut conflicts = Vec::new();
    for (key, label, party) in items {
        match first.get(&key) {
            Some((other, other_party)) => {
                let conflict = Conflict::new(format!("{other} and {label} have the same {noun}, {key}"), hint);
                conflicts.push(FoundConflict { conflict, parties: [*other_party, party] });
            }
            None => drop(first.insert(key, (label, party))),
        }
    }
    conflicts
}

fn outside_subnet(machine: &NamedAddress<'_>) -> Option<FoundConflict> {
    let NamedAddress { party, label, subnet, subnet_label, .. } = machine;
    let ip = machine.ip.filter(|ip| !subnet.contains(ip))?;
    let message = format!("address {ip} of {label} is outside {subnet_label}, {subnet}");
    let conflict = Conflict::new(message, "no route would lead to it: correct the address or the subnet");
    Some(FoundConflict { conflict, parties: [*party, ConflictParty::Other] })
}
