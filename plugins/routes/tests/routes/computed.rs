use stargate_routes::{CloudRoute, DesiredKernelRoute, SiteFabric, Strategy, UnroutedNode, compute};

use crate::facts::{log, net, nets};

fn cloud_texts(routes: &[CloudRoute]) -> Vec<String> {
    routes.iter().map(|route| format!("{} -> {}", route.prefix, route.next_hop_ip)).collect()
}

fn kernel_texts(routes: &[DesiredKernelRoute]) -> Vec<String> {
    routes.iter().map(|route| format!("{} via {}", route.prefix, route.via)).collect()
}

#[test]
fn the_recorded_installation_has_its_recorded_routes() {
    let desired = compute(&log()).unwrap();
    let dc = ["10.50.1.0/24 -> 10.237.0.4", "10.244.64.0/24 -> 10.237.0.4", "10.244.65.0/24 -> 10.237.0.4"];
    assert_eq!(cloud_texts(&desired.aks_routes), dc);
    assert_eq!(cloud_texts(&desired.router_routes), ["10.244.0.0/24 -> 10.224.0.4", "10.244.1.0/24 -> 10.224.0.5"]);
    let table = [
        "10.224.0.0/16 -> 10.50.1.4",
        "10.237.0.0/24 -> 10.50.1.4",
        "10.244.0.0/24 -> 10.50.1.4",
        "10.244.1.0/24 -> 10.50.1.4",
        "10.244.64.0/24 -> 10.50.1.5",
        "10.244.65.0/24 -> 10.50.1.6",
    ];
    assert_eq!(cloud_texts(&desired.dc_routes["dc"]), table);
    let aks = nets(&["10.224.0.0/16", "10.237.0.0/24", "10.244.0.0/24", "10.244.1.0/24"]);
    assert_eq!(desired.advertise.aks, aks);
    assert_eq!(desired.advertise.dc["dc"], nets(&["10.50.1.0/24", "10.244.64.0/24", "10.244.65.0/24"]));
    let forwarding: Vec<_> = desired.forwarding.iter().map(|each| (each.host.as_str(), each.nic)).collect();
    assert_eq!(forwarding, [("aks-router", true), ("dc-router", true), ("worker-1", true), ("worker-2", true)]);
    assert!(desired.kernel.is_empty(), "the route table decides: {:?}", desired.kernel);
    let cilium: Vec<_> = desired.cilium.iter().map(|node| (node.name.as_str(), node.pod_cidrs.clone())).collect();
    assert_eq!(cilium[3], ("worker-2", nets(&["10.244.65.0/24"])));
    assert_eq!((desired.unrouted.len(), desired.warnings.len()), (0, 0));
}

#[test]
fn strategy_per_site_advertises_one_prefix_per_site() {
    let facts = stargate_routes::Facts { strategy: Strategy::PerSite, ..log() };
    let desired = compute(&facts).unwrap();
    assert_eq!(cloud_texts(&desired.aks_routes), ["10.50.1.0/24 -> 10.237.0.4", "10.244.64.0/18 -> 10.237.0.4"]);
    assert_eq!(desired.advertise.dc["dc"], nets(&["10.50.1.0/24", "10.244.64.0/18"]));
    assert_eq!(desired.dc_routes["dc"].len(), 6, "its own table has a route per worker");
}

#[test]
fn a_pod_cidr_outside_the_sites_is_advertised_separately() {
    let mut facts = stargate_routes::Facts { strategy: Strategy::PerSite, ..log() };
    facts.sites[0].workers[0].pod_cidr = Some(net("10.244.55.0/24"));
    let desired = compute(&facts).unwrap();
    assert_eq!(desired.advertise.dc["dc"], nets(&["10.50.1.0/24", "10.244.55.0/24", "10.244.64.0/18"]));
    assert_eq!(desired.warnings.len(), 1, "{:?}", desired.warnings);
    facts.sites[0].workers.truncate(1);
    let alone = compute(&facts).unwrap();
    assert_eq!(
        alone.advertise.dc["dc"],
        nets(&["10.50.1.0/24", "10.244.55.0/24"]),
        "no worker uses the site's pod CIDR"
    );
}

#[test]
fn a_datacenter_that_is_no_site_has_a_route_of_the_nodes_only() {
    let mut facts = log();
    let without = compute(&facts).unwrap();
    facts.aks.datacenter_prefixes = nets(&["10.60.0.0/16", "10.50.1.0/24"]);
    let mut desired = compute(&facts).unwrap();
    assert_eq!(cloud_texts(&std::mem::take(&mut desired.static_routes)), ["10.60.0.0/16 -> 10.237.0.4"]);
    assert_eq!(desired, without, "the subnet of the site has its route already");
}

#[test]
fn on_one_ethernet_segment_kernel_routes_are_computed() {
    let mut facts = log();
    facts.sites[0].fabric = SiteFabric::L2;
    let desired = compute(&facts).unwrap();
    assert!(desired.dc_routes["dc"].is_empty());
    let segment = &desired.kernel["dc"];
    assert_eq!(kernel_texts(&segment.local), ["10.244.64.0/24 via 10.50.1.5", "10.244.65.0/24 via 10.50.1.6"]);
    let remote = [
        "10.224.0.0/16 via 10.50.1.4",
        "10.237.0.0/24 via 10.50.1.4",
        "10.244.0.0/24 via 10.50.1.4",
        "10.244.1.0/24 via 10.50.1.4",
    ];
    assert_eq!(kernel_texts(&segment.remote), remote);
    assert!(desired.forwarding.iter().all(|each| each.nic == (each.host == "aks-router")));
}

#[test]
fn the_order_of_the_listing_does_not_matter() {
    let mut reversed = log();
    reversed.aks.nodes.reverse();
    reversed.sites[0].workers.reverse();
    assert_eq!(compute(&reversed).unwrap(), compute(&log()).unwrap());
}

#[test]
fn a_node_without_a_pod_cidr_is_listed_as_unrouted() {
    let mut facts = log();
    facts.aks.nodes[1].pod_cidr = None;
    let desired = compute(&facts).unwrap();
    let reason = "its pod CIDR is not known".to_owned();
    assert_eq!(desired.unrouted, [UnroutedNode { name: "aks-1".into(), reason, hint: None }]);
    assert_eq!(desired.router_routes.len(), 1);
}

#[test]
fn a_node_without_an_address_is_left_out_of_every_surface() {
    let mut facts = log();
    facts.aks.nodes[1].internal_ip = None;
    facts.sites[0].workers[1].internal_ip = None;
    let desired = compute(&facts).unwrap();
    let unrouted: Vec<_> = desired.unrouted.iter().map(|node| (node.name.as_str(), node.reason.as_str())).collect();
    let reason = "its Node has no InternalIP of IPv4";
    assert_eq!(unrouted, [("aks-1", reason), ("worker-2", reason)]);
    facts.aks.nodes.truncate(1);
    facts.sites[0].workers.truncate(1);
    let without = compute(&facts).unwrap();
    let forwarding = desired.forwarding.clone(); // it is a machine nevertheless
    assert_eq!(stargate_routes::DesiredEntries { unrouted: vec![], forwarding, ..without }, {
        stargate_routes::DesiredEntries { unrouted: vec![], ..desired }
    });
}

#[test]
fn a_pod_cidr_of_a_node_without_an_address_must_not_overlap() {
    let mut facts = log();
    facts.aks.nodes[1].internal_ip = None;
    facts.aks.nodes[1].pod_cidr = Some(net("10.244.70.0/24"));
    let reason = &compute(&facts).unwrap().unrouted[0].reason;
    assert!(reason.starts_with("pod CIDR of AKS node aks-1, "), "{reason}");
}
