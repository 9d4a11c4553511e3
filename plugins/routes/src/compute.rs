use std::collections::BTreeMap;

use ipnet::Ipv4Net;

use crate::addresses::address_conflicts;
use crate::conflict::{Conflict, Conflicts};
use crate::desired::{Advertised, CiliumNode, CloudRoute, Desired, Forwarding, KernelRoute, Segment};
use crate::facts::{Datacenter, Fabric, Facts, Node, Router, blocks};
use crate::overlap::prefix_conflicts;

/// Routes that a table holds, by the service's published limits (a later page says 600; the lower one is safe).
const TABLE_LIMIT: usize = 400;

/// Computes the desired entries of every surface.
///
/// With all of them in force every machine and pod of a site reaches every one of every site, both ways, and without any one of
/// them some pair does not. Entries of `CiliumNode`s are the exception: delivery does not need them.
///
/// # Errors
/// All conflicts of the facts at once. Facts without any AKS node are refused: that is a failed listing, not a cluster.
pub fn compute(facts: &Facts) -> Result<Desired, Conflicts> {
    check(facts)?;
    let desired = Desired {
        aks_routes: aks_routes(facts),
        router_routes: sorted(blocks(&facts.aks.nodes).map(behind)),
        dc_routes: facts.sites.iter().map(|site| (site.name.clone(), dc_routes(facts, site))).collect(),
        forwarding: forwarding(facts),
        kernel: kernel(facts),
        advertise: advertise(facts),
        cilium: sorted(nodes(facts).filter_map(|node| node.pod_cidr.map(|block| cilium(node, block)))),
        unrouted: sorted(nodes(facts).filter(|node| node.pod_cidr.is_none()).map(|node| node.name.clone())),
        warnings: Vec::new(),
    };
    let warnings = warnings(facts, &desired);
    Ok(Desired { warnings, ..desired })
}

fn check(facts: &Facts) -> Result<(), Conflicts> {
    let mut found = prefix_conflicts(facts);
    found.extend(address_conflicts(facts));
    if facts.aks.nodes.is_empty() {
        found.push(Conflict::new("the cluster has no nodes of AKS's", "look why they could not be listed"));
    }
    if found.is_empty() { Ok(()) } else { Err(Conflicts(found)) }
}

/// The datacenters behind the AKS router.
fn aks_routes(facts: &Facts) -> Vec<CloudRoute> {
    let announced = facts.sites.iter().flat_map(|site| site.announced(facts.strategy));
    sorted(announced.map(|prefix| through(prefix, &facts.aks.router)))
}

/// A datacenter's table; none where nobody would use it.
fn dc_routes(facts: &Facts, site: &Datacenter) -> Vec<CloudRoute> {
    if site.fabric != Fabric::Azure || site.workers.is_empty() {
        return Vec::new();
    }
    let far = far(facts, site).into_iter().map(|prefix| through(prefix, &site.router));
    sorted(far.chain(blocks(&site.workers).map(behind)))
}

/// What every other site announces.
fn far(facts: &Facts, here: &Datacenter) -> Vec<Ipv4Net> {
    let others = facts.sites.iter().filter(|site| site.name != here.name);
    facts.aks.announced().into_iter().chain(others.flat_map(|site| site.announced(facts.strategy))).collect()
}

/// Routers pass packets between sites, workers between their network and their pods. A router without workers is only an end.
fn forwarding(facts: &Facts) -> Vec<Forwarding> {
    let aks = (!facts.sites.is_empty()).then(|| Forwarding { host: facts.aks.router.name.clone(), nic: true });
    let sites = facts.sites.iter().filter(|site| !site.workers.is_empty());
    let hosts = sites.flat_map(|site| {
        let names = std::iter::once(&site.router.name).chain(site.workers.iter().map(|worker| &worker.name));
        names.map(|name| Forwarding { host: name.clone(), nic: site.fabric == Fabric::Azure })
    });
    sorted(aks.into_iter().chain(hosts))
}

fn kernel(facts: &Facts) -> BTreeMap<String, Segment> {
    let segments = facts.sites.iter().filter(|site| site.fabric == Fabric::L2);
    segments.map(|site| (site.name.clone(), segment(facts, site))).collect()
}

fn segment(facts: &Facts, site: &Datacenter) -> Segment {
    let via = |prefix, via| KernelRoute { prefix, via };
    Segment {
        far: sorted(far(facts, site).into_iter().map(|prefix| via(prefix, site.router.ip))),
        near: sorted(blocks(&site.workers).map(|(worker, prefix)| via(prefix, worker.internal_ip))),
    }
}

fn advertise(facts: &Facts) -> Advertised {
    let of = |site: &Datacenter| (site.name.clone(), sorted(site.announced(facts.strategy)));
    Advertised { aks: sorted(facts.aks.announced()), dc: facts.sites.iter().map(of).collect() }
}

fn warnings(facts: &Facts, desired: &Desired) -> Vec<String> {
    let tables = desired.dc_routes.iter().map(|(site, routes)| (format!("the table of site {site}"), routes.len()));
    let aks = [
        ("the table of the AKS node subnet".to_owned(), desired.aks_routes.len()),
        ("the table of the AKS router's subnet".to_owned(), desired.router_routes.len()),
    ];
    let full = aks.into_iter().chain(tables).filter(|(_, count)| count * 5 >= TABLE_LIMIT * 4);
    let full =
        full.map(|(table, count)| format!("{table} needs {count} of the {TABLE_LIMIT} routes that a table holds"));
    let pods = facts.aks.pod_cidr;
    let foreign = facts.sites.iter().filter(|site| pods.is_some_and(|pods| !pods.contains(&site.pod_block)));
    let masked = foreign.map(|site| {
        let block = site.pod_block;
        format!(
            "AKS pods appear under their node's address in site {}: {block} is outside the cluster's pod CIDR",
            site.name
        )
    });
    let adopted = facts.sites.iter().flat_map(|site| site.adopted().map(move |worker| (site, worker)));
    let adopted = adopted.map(|(site, (worker, block))| {
        let name = &worker.name;
        format!(
            "{name} of site {} keeps {block}, outside the site's {}: it is announced by itself",
            site.name, site.pod_block
        )
    });
    full.chain(masked).chain(adopted).collect()
}

fn nodes(facts: &Facts) -> impl Iterator<Item = &Node> {
    facts.aks.nodes.iter().chain(facts.sites.iter().flat_map(|site| &site.workers))
}

fn cilium(node: &Node, block: Ipv4Net) -> CiliumNode {
    CiliumNode { name: node.name.clone(), pod_cidrs: vec![block] }
}

fn through(prefix: Ipv4Net, router: &Router) -> CloudRoute {
    CloudRoute { prefix, next_hop_ip: router.ip }
}

fn behind((node, prefix): (&Node, Ipv4Net)) -> CloudRoute {
    CloudRoute { prefix, next_hop_ip: node.internal_ip }
}

fn sorted<T: Ord>(entries: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut entries: Vec<T> = entries.into_iter().collect();
    entries.sort();
    entries
}
