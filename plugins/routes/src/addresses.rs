use std::{collections::BTreeMap, fmt::Display, net::Ipv4Addr};

use ipnet::Ipv4Net;

use crate::conflict::Conflict;
use crate::facts::{Facts, Node, Router};

/// A machine: who it is in words, its name, its address, the subnet it is to be in and that subnet in words.
struct Machine<'a> {
    words: String,
    name: &'a str,
    ip: Ipv4Addr,
    subnet: Ipv4Net,
    within: String,
}

/// Machines that share a name or an address, or whose address is in another subnet.
pub(crate) fn address_conflicts(facts: &Facts) -> Vec<Conflict> {
    let machines = machines(facts);
    let sites = facts.sites.iter().map(|site| (site.name.clone(), format!("site {}", site.name)));
    let names = machines.iter().map(|machine| (machine.name, machine.words.clone()));
    let addresses = machines.iter().map(|machine| (machine.ip, machine.words.clone()));
    let mut found = twice(sites, "name", "give each site a name of its own");
    found.extend(twice(names, "name", "give each machine a name of its own, or drop the stale one from the list"));
    found.extend(twice(
        addresses,
        "address",
        "one of the two is stale or misconfigured: drop it from the list, or renumber it",
    ));
    found.extend(machines.iter().filter(|machine| !machine.subnet.contains(&machine.ip)).map(outside));
    found
}

fn machines(facts: &Facts) -> Vec<Machine<'_>> {
    let aks = &facts.aks;
    let router = self::router(&aks.router, aks.router_subnet, "the AKS router's subnet".to_owned());
    let nodes =
        aks.nodes.iter().map(|node| self::node("AKS node", node, aks.node_subnet, "the AKS node subnet".to_owned()));
    let sites = facts.sites.iter().flat_map(|site| {
        let within = format!("the subnet of site {}", site.name);
        let router = self::router(&site.router, site.subnet, within.clone());
        let workers = site.workers.iter().map(move |worker| self::node("worker", worker, site.subnet, within.clone()));
        std::iter::once(router).chain(workers)
    });
    std::iter::once(router).chain(nodes).chain(sites).collect()
}

fn router(router: &Router, subnet: Ipv4Net, within: String) -> Machine<'_> {
    Machine { words: format!("router {}", router.name), name: &router.name, ip: router.ip, subnet, within }
}

fn node<'a>(word: &str, node: &'a Node, subnet: Ipv4Net, within: String) -> Machine<'a> {
    Machine { words: format!("{word} {}", node.name), name: &node.name, ip: node.internal_ip, subnet, within }
}

fn twice<K: Ord + Display>(all: impl Iterator<Item = (K, String)>, what: &str, hint: &str) -> Vec<Conflict> {
    let mut first: BTreeMap<K, String> = BTreeMap::new();
    let mut found = Vec::new();
    for (key, words) in all {
        match first.get(&key) {
            Some(before) => {
                found.push(Conflict::new(format!("{before} and {words} have one {what}, {key}"), hint));
            }
            None => drop(first.insert(key, words)),
        }
    }
    found
}

fn outside(machine: &Machine<'_>) -> Conflict {
    let Machine { words, ip, subnet, within, .. } = machine;
    let message = format!("address {ip} of {words} is outside {within}, {subnet}");
    Conflict::new(message, "no route would lead to it: correct the address or the subnet")
}
