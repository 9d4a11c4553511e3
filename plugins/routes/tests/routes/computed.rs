use stargate_routes::{CloudRoute, Fabric, KernelRoute, Strategy, compute};

use crate::facts::{log, net, nets};

fn words(routes: &[CloudRoute]) -> Vec<String> {
    routes.iter().map(|route| format!("{} -> {}", route.prefix, route.next_hop_ip)).collect()
}

fn kernel(routes: &[KernelRoute]) -> Vec<String> {
    routes.iter().map(|route| format!("{} via {}", route.prefix, route.via)).collect()
}

#[test]
fn the_logs_deployment_has_the_logs_routes() {
    let desired = compute(&log()).unwrap();
    let dc = ["10.50.1.0/24 -> 10.237.0.4", "10.244.64.0/24 -> 10.237.0.4", "10.244.65.0/24 -> 10.237.0.4"];
    assert_eq!(words(&desired.aks_routes), dc);
    assert_eq!(words(&desired.router_routes), ["10.244.0.0/24 -> 10.224.0.4", "10.244.1.0/24 -> 10.224.0.5"]);
    let table = [
        "10.224.0.0/16 -> 10.50.1.4",
        "10.237.0.0/24 -> 10.50.1.4",
        "10.244.0.0/24 -> 10.50.1.4",
        "10.244.1.0/24 -> 10.50.1.4",
        "10.244.64.0/24 -> 10.50.1.5",
        "10.244.65.0/24 -> 10.50.1.6",
    ];
    assert_eq!(words(&desired.dc_routes["dc"]), table);
    let aks = nets(&["10.224.0.0/16", "10.237.0.0/24", "10.244.0.0/24", "10.244.1.0/24"]);
    assert_eq!(desired.advertise.aks, aks);
    assert_eq!(desired.advertise.dc["dc"], nets(&["10.50.1.0/24", "10.244.64.0/24", "10.244.65.0/24"]));
    let forwarding: Vec<_> = desired.forwarding.iter().map(|each| (each.host.as_str(), each.nic)).collect();
    assert_eq!(forwarding, [("aks-router", true), ("dc-router", true), ("worker-1", true), ("worker-2", true)]);
    assert!(desired.kernel.is_empty(), "the cloud routes: {:?}", desired.kernel);
    let cilium: Vec<_> = desired.cilium.iter().map(|node| (node.name.as_str(), node.pod_cidrs.clone())).collect();
    assert_eq!(cilium[3], ("worker-2", nets(&["10.244.65.0/24"])));
    assert_eq!((desired.unrouted.len(), desired.warnings.len()), (0, 0));
}

#[test]
fn a_site_is_announced_as_a_whole_per_site() {
    let facts = stargate_routes::Facts { strategy: Strategy::PerSite, ..log() };
    let desired = compute(&facts).unwrap();
    assert_eq!(words(&desired.aks_routes), ["10.50.1.0/24 -> 10.237.0.4", "10.244.64.0/18 -> 10.237.0.4"]);
    assert_eq!(desired.advertise.dc["dc"], nets(&["10.50.1.0/24", "10.244.64.0/18"]));
    assert_eq!(desired.dc_routes["dc"].len(), 6, "its own table still tells the workers apart");
}

#[test]
fn a_block_from_before_there_was_a_sites_block_is_announced_by_itself() {
    let mut facts = stargate_routes::Facts { strategy: Strategy::PerSite, ..log() };
    facts.sites[0].workers[0].pod_cidr = Some(net("10.244.55.0/24"));
    let desired = compute(&facts).unwrap();
    assert_eq!(desired.advertise.dc["dc"], nets(&["10.50.1.0/24", "10.244.55.0/24", "10.244.64.0/18"]));
    assert_eq!(desired.warnings.len(), 1, "{:?}", desired.warnings);
    facts.sites[0].workers.truncate(1);
    let alone = compute(&facts).unwrap();
    assert_eq!(alone.advertise.dc["dc"], nets(&["10.50.1.0/24", "10.244.55.0/24"]), "nobody is in the site's block");
}

#[test]
fn on_one_segment_kernels_route() {
    let mut facts = log();
    facts.sites[0].fabric = Fabric::L2;
    let desired = compute(&facts).unwrap();
    assert!(desired.dc_routes["dc"].is_empty());
    let segment = &desired.kernel["dc"];
    assert_eq!(kernel(&segment.near), ["10.244.64.0/24 via 10.50.1.5", "10.244.65.0/24 via 10.50.1.6"]);
    let far = [
        "10.224.0.0/16 via 10.50.1.4",
        "10.237.0.0/24 via 10.50.1.4",
        "10.244.0.0/24 via 10.50.1.4",
        "10.244.1.0/24 via 10.50.1.4",
    ];
    assert_eq!(kernel(&segment.far), far);
    assert!(desired.forwarding.iter().all(|each| each.nic == (each.host == "aks-router")));
}

#[test]
fn the_order_of_the_listing_does_not_matter() {
    let mut turned = log();
    turned.aks.nodes.reverse();
    turned.sites[0].workers.reverse();
    assert_eq!(compute(&turned).unwrap(), compute(&log()).unwrap());
}

#[test]
fn a_node_without_a_block_is_named_and_not_routed() {
    let mut facts = log();
    facts.aks.nodes[1].pod_cidr = None;
    let desired = compute(&facts).unwrap();
    assert_eq!((desired.unrouted, desired.router_routes.len()), (vec!["aks-1".to_owned()], 1));
}
