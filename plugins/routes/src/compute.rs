use std::{borrow::Cow, collections::BTreeMap, net::Ipv4Addr};

use ipnet::Ipv4Net;

use crate::{
    addresses::address_conflicts,
    conflict::{Conflict, ConflictParty, Conflicts, FoundConflict},
    desired::{
        AdvertisedRoutes, CiliumNode, CloudRoute, DesiredEntries, DesiredKernelRoute, ForwardingHost, SegmentRoutes,
        UnroutedNode,
    },
    facts::{Datacenter, Facts, NodeFacts, RouterFacts, SiteFabric, routed},
    overlap::prefix_conflicts,
    path::paths,
};

/// Maximum number of routes of an Azure route table, by the service's published limits. A later
/// page says 600; the lower number is safe.
const MAX_TABLE_ROUTES: usize = 400;

/// Computes the desired entries of all surfaces.
///
/// If all of them exist, each machine and pod of a site reaches each one of all sites, in both
/// directions. If one is missing, some pair does not. Entries of `CiliumNode`s are the exception:
/// delivery does not need them.
///
/// An AKS node whose address or pod CIDR conflicts with other facts is left out, like one that is
/// not complete: AKS chose them, and the routes of all others do not depend on it.
///
/// # Errors
/// All conflicts of the facts, if one of them remains without those nodes. Facts without an AKS
/// node are refused, because a listing that failed is the likely cause.
pub fn compute(facts: &Facts) -> Result<DesiredEntries, Conflicts> {
    let (facts, left_out) = without_conflicting_nodes(facts)?;
    let facts = &facts;
    let desired = DesiredEntries {
        aks_routes: aks_routes(facts),
        static_routes: static_routes(facts),
        router_routes: sorted(routed(&facts.aks.nodes).map(pod_route)),
        dc_routes: facts.sites.iter().map(|site| (site.name.clone(), dc_routes(facts, site))).collect(),
        forwarding: forwarding(facts),
        kernel: kernel(facts),
        advertise: advertise(facts),
        paths: paths(facts),
        cilium: sorted(nodes(facts).filter_map(cilium)),
        unrouted: sorted(nodes(facts).filter_map(unrouted).chain(left_out)),
        warnings: Vec::new(),
    };
    let warnings = warnings(facts, &desired);
    Ok(DesiredEntries { warnings, ..desired })
}

/// The facts without the AKS nodes that have a conflict, and these nodes.
fn without_conflicting_nodes(facts: &Facts) -> Result<(Cow<'_, Facts>, Vec<UnroutedNode>), Conflicts> {
    let found = conflicts(facts);
    if !found.iter().all(FoundConflict::is_of_aks_node) {
        return Err(Conflicts(found.into_iter().map(|found| found.conflict).collect()));
    }
    let mut left_out: BTreeMap<usize, UnroutedNode> = BTreeMap::new();
    for (node, conflict) in found.iter().flat_map(|found| found.aks_nodes().map(|node| (node, &found.conflict))) {
        let first = || conflicting(&facts.aks.nodes[node], conflict);
        left_out
            .entry(node)
            .and_modify(|node| node.reason = format!("{}; {}", node.reason, conflict.message))
            .or_insert_with(first);
    }
    if left_out.is_empty() {
        return Ok((Cow::Borrowed(facts), Vec::new()));
    }
    let mut kept = facts.clone();
    let nodes = kept.aks.nodes.into_iter().enumerate();
    kept.aks.nodes = nodes.filter(|(index, _)| !left_out.contains_key(index)).map(|(_, node)| node).collect();
    Ok((Cow::Owned(kept), left_out.into_values().collect()))
}

fn conflicting(node: &NodeFacts, Conflict { message, hint }: &Conflict) -> UnroutedNode {
    UnroutedNode { name: node.name.clone(), reason: message.clone(), hint: Some(hint.clone()) }
}

/// All conflicts of the facts.
pub(crate) fn conflicts(facts: &Facts) -> Vec<FoundConflict> {
    let mut conflicts = prefix_conflicts(facts);
    conflicts.extend(address_conflicts(facts));
    if facts.aks.nodes.is_empty() {
        let conflict = Conflict::new(
            "the cluster has no nodes that AKS manages",
            "run the step that lists the nodes again: a cluster has at least one",
        );
        conflicts.push(FoundConflict { conflict, parties: [ConflictParty::Other, ConflictParty::Other] });
    }
    conflicts
}

/// Routes to the datacenters through the AKS router.
fn aks_routes(facts: &Facts) -> Vec<CloudRoute> {
    let advertised = facts.sites.iter().flat_map(|site| site.advertised_prefixes(facts.strategy));
    sorted(advertised.map(|prefix| route_via(prefix, &facts.aks.router)))
}

/// Routes to the datacenters without a site, unless a site has the prefix.
fn static_routes(facts: &Facts) -> Vec<CloudRoute> {
    let routes = facts.aks.datacenter_prefixes.iter().map(|prefix| route_via(*prefix, &facts.aks.router));
    let of_sites = aks_routes(facts);
    sorted(routes.filter(|route| !of_sites.contains(route)))
}

/// Routes of a datacenter's table; none without workers, which are the machines that use it.
fn dc_routes(facts: &Facts, site: &Datacenter) -> Vec<CloudRoute> {
    if site.fabric != SiteFabric::Azure || site.workers.is_empty() {
        return Vec::new();
    }
    let remote = remote_prefixes(facts, site).into_iter().map(|prefix| route_via(prefix, &site.router));
    sorted(remote.chain(routed(&site.workers).map(pod_route)))
}

/// Prefixes that all other sites advertise.
fn remote_prefixes(facts: &Facts, local: &Datacenter) -> Vec<Ipv4Net> {
    let others = facts.sites.iter().filter(|site| site.name != local.name);
    let others = others.flat_map(|site| site.advertised_prefixes(facts.strategy));
    facts.aks.advertised_prefixes().into_iter().chain(others).collect()
}

/// Routers forward between sites, workers between their network and their pods. A router of a site
/// without workers forwards nothing.
fn forwarding(facts: &Facts) -> Vec<ForwardingHost> {
    let aks = (!facts.sites.is_empty()).then(|| ForwardingHost { host: facts.aks.router.name.clone(), nic: true });
    let sites = facts.sites.iter().filter(|site| !site.workers.is_empty());
    let hosts = sites.flat_map(|site| {
        let names = std::iter::once(&site.router.name).chain(site.workers.iter().map(|worker| &worker.name));
        names.map(|name| ForwardingHost { host: name.clone(), nic: site.fabric == SiteFabric::Azure })
    });
    sorted(aks.into_iter().chain(hosts))
}

fn kernel(facts: &Facts) -> BTreeMap<String, SegmentRoutes> {
    let segments = facts.sites.iter().filter(|site| site.fabric == SiteFabric::L2);
    segments.map(|site| (site.name.clone(), segment_routes(facts, site))).collect()
}

fn segment_routes(facts: &Facts, site: &Datacenter) -> SegmentRoutes {
    let route = |prefix, via| DesiredKernelRoute { prefix, via };
    SegmentRoutes {
        remote: sorted(remote_prefixes(facts, site).into_iter().map(|prefix| route(prefix, site.router.ip))),
        local: sorted(routed(&site.workers).map(|(_, via, prefix)| route(prefix, via))),
    }
}

fn advertise(facts: &Facts) -> AdvertisedRoutes {
    let of = |site: &Datacenter| (site.name.clone(), sorted(site.advertised_prefixes(facts.strategy)));
    AdvertisedRoutes { aks: sorted(facts.aks.advertised_prefixes()), dc: facts.sites.iter().map(of).collect() }
}

fn warnings(facts: &Facts, desired: &DesiredEntries) -> Vec<String> {
    let full = full_tables(desired);
    full.into_iter().chain(sites_outside_cluster(facts)).chain(adopted_pod_cidrs(facts)).collect()
}

/// Route tables that use at least four fifths of the limit.
fn full_tables(desired: &DesiredEntries) -> Vec<String> {
    let sites = desired.dc_routes.iter().map(|(site, routes)| (format!("the table of site {site}"), routes.len()));
    let aks = [
        ("the table of the AKS node subnet".to_owned(), desired.aks_routes.len()),
        ("the table of the AKS router's subnet".to_owned(), desired.router_routes.len()),
    ];
    let full = aks.into_iter().chain(sites).filter(|(_, count)| count * 5 >= MAX_TABLE_ROUTES * 4);
    full.map(|(table, count)| format!("{table} needs {count} of the {MAX_TABLE_ROUTES} routes that a table holds"))
        .collect()
}

/// Sites whose pod CIDR is outside the cluster's, to which AKS nodes therefore masquerade.
fn sites_outside_cluster(facts: &Facts) -> impl Iterator<Item = String> {
    let cluster = facts.aks.pod_cidr;
    let outside = facts.sites.iter().filter(move |site| cluster.is_some_and(|pods| !pods.contains(&site.pod_block)));
    outside.map(|site| {
        format!(
            "AKS pods appear under their node's address in site {}: {} is outside the cluster's pod CIDR",
            site.name, site.pod_block
        )
    })
}

/// Workers whose pod CIDR is outside their site's.
fn adopted_pod_cidrs(facts: &Facts) -> impl Iterator<Item = String> {
    let adopted = facts.sites.iter().flat_map(|site| site.adopted_pod_cidrs().map(move |worker| (site, worker)));
    adopted.map(|(site, (worker, pod_cidr))| {
        format!(
            "{} of site {} keeps {pod_cidr}, outside the site's {}: it is advertised separately",
            worker.name, site.name, site.pod_block
        )
    })
}

fn nodes(facts: &Facts) -> impl Iterator<Item = &NodeFacts> {
    facts.aks.nodes.iter().chain(facts.sites.iter().flat_map(|site| &site.workers))
}

fn cilium(node: &NodeFacts) -> Option<CiliumNode> {
    node.routed().map(|(_, pod_cidr)| CiliumNode { name: node.name.clone(), pod_cidrs: vec![pod_cidr] })
}

fn unrouted(node: &NodeFacts) -> Option<UnroutedNode> {
    node.unrouted_reason().map(|reason| UnroutedNode { name: node.name.clone(), reason: reason.to_owned(), hint: None })
}

fn route_via(prefix: Ipv4Net, router: &RouterFacts) -> CloudRoute {
    CloudRoute { prefix, next_hop_ip: router.ip }
}

/// The route to a node's pods through the node.
fn pod_route((_, next_hop_ip, prefix): (&NodeFacts, Ipv4Addr, Ipv4Net)) -> CloudRoute {
    CloudRoute { prefix, next_hop_ip }
}

fn sorted<T: Ord>(entries: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut entries: Vec<T> = entries.into_iter().collect();
    entries.sort();
    entries
}
