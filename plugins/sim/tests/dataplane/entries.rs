use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use stargate_routes::{
    Datacenter, DesiredEntries as Desired, DesiredKernelRoute as KernelRoute, Facts, SegmentRoutes as Segment,
};

/// One entry of one surface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SurfaceEntry {
    /// A user-defined route, by the subnet whose table has it.
    Cloud { subnet: String, prefix: Ipv4Net, hop: Ipv4Addr },
    /// The association of a subnet with its table.
    Association(String),
    /// The forwarding flag of a machine's NIC.
    Nic(String),
    /// IP forwarding of a machine's kernel.
    Kernel(String),
    /// A route of a machine's kernel.
    Route { host: String, prefix: Ipv4Net, via: Ipv4Addr },
    /// The clamp of TCP's segment size, on every router: a connection needs it on one of those that
    /// it passes.
    Clamp,
    /// A route that a router advertises.
    Advertised { router: String, prefix: Ipv4Net },
    /// A route of a router that is approved.
    Approved { router: String, prefix: Ipv4Net },
}

pub(crate) const NODES: &str = "aks-subnet";
pub(crate) const ROUTER: &str = "router-subnet";

/// The subnet of a site.
pub(crate) fn site_subnet(site: &str) -> String {
    format!("{site}-subnet")
}

/// The entries of all surfaces, but for those of `CiliumNode`s, which delivery does not need.
pub(crate) fn entries(facts: &Facts, desired: &Desired) -> Vec<SurfaceEntry> {
    let aks = [(NODES.to_owned(), &desired.aks_routes), (ROUTER.to_owned(), &desired.router_routes)];
    let tables = aks.into_iter().chain(desired.dc_routes.iter().map(|(site, routes)| (site_subnet(site), routes)));
    let mut all = Vec::new();
    for (subnet, routes) in tables.filter(|(_, routes)| !routes.is_empty()) {
        all.push(SurfaceEntry::Association(subnet.clone()));
        all.extend(routes.iter().map(|route| SurfaceEntry::Cloud {
            subnet: subnet.clone(),
            prefix: route.prefix,
            hop: route.next_hop_ip,
        }));
    }
    for forwarding in &desired.forwarding {
        all.push(SurfaceEntry::Kernel(forwarding.host.clone()));
        all.extend(forwarding.nic.then(|| SurfaceEntry::Nic(forwarding.host.clone())));
    }
    for site in &facts.sites {
        all.extend(desired.kernel.get(&site.name).into_iter().flat_map(|segment| of_segment(site, segment)));
    }
    // Routers know the tunnel's MTU themselves: it is the workers and their pods, and who talks
    // with them, that need it.
    if facts.sites.iter().any(|site| !site.workers.is_empty()) {
        all.push(SurfaceEntry::Clamp);
    }
    let dc = facts.sites.iter().map(|site| (&site.router.name, &desired.advertise.dc[&site.name]));
    for (router, prefixes) in std::iter::once((&facts.aks.router.name, &desired.advertise.aks)).chain(dc) {
        for prefix in prefixes {
            all.push(SurfaceEntry::Advertised { router: router.clone(), prefix: *prefix });
            all.push(SurfaceEntry::Approved { router: router.clone(), prefix: *prefix });
        }
    }
    all
}

/// The kernel routes of the machines of a segment: the router's, and each worker's but to itself.
fn of_segment(site: &Datacenter, segment: &Segment) -> Vec<SurfaceEntry> {
    let entry = |host: &str, route: &KernelRoute| SurfaceEntry::Route {
        host: host.to_owned(),
        prefix: route.prefix,
        via: route.via,
    };
    let router = segment.local.iter().map(|route| entry(&site.router.name, route));
    let workers = site.workers.iter().flat_map(|worker| {
        let all =
            segment.remote.iter().chain(segment.local.iter().filter(|route| Some(route.via) != worker.internal_ip));
        all.map(|route| entry(&worker.name, route))
    });
    router.chain(workers).collect()
}
