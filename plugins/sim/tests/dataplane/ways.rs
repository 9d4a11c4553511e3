use stargate_routes::{SiteFabric as Fabric, Strategy};
use stargate_sim::dataplane::{Plane, reach};

use crate::deployment::{Deployment, facts, log};

fn steps(deployment: &Deployment, from: &str, to: &str) -> (Vec<String>, Vec<String>) {
    let path = reach(&deployment.world(), from, to).unwrap();
    assert!(path.ok, "{path:#?}");
    let words = |trip: stargate_sim::dataplane::PathTrace| {
        trip.hops.iter().map(|hop| format!("{}: {}", hop.at, hop.what)).collect::<Vec<_>>()
    };
    (words(path.request), words(path.reply.unwrap()))
}

#[test]
fn a_request_and_its_reply_are_told_hop_by_hop() {
    let (request, reply) = steps(&log(), "pod-aks-0", "pod-worker-1-0");
    let expected = [
        "aks-subnet: route 10.244.64.0/24 of table aks-subnet-rt sends 10.244.64.5 to 10.237.0.4",
        "aks-router: route 10.244.64.0/24 sends 10.244.64.5 into the tunnel",
        "dc-1-subnet: route 10.244.64.0/24 of table dc-1-subnet-rt sends 10.244.64.5 to 10.50.1.5",
        "worker-1-0: hands 10.244.64.5 to its pod",
    ];
    assert_eq!(request, expected);
    let expected = [
        "dc-1-subnet: route 10.244.0.0/24 of table dc-1-subnet-rt sends 10.244.0.5 to 10.50.1.4",
        "dc-router-1: route 10.244.0.0/24 sends 10.244.0.5 into the tunnel",
        "router-subnet: route 10.244.0.0/24 of table router-subnet-rt sends 10.244.0.5 to 10.224.0.4",
        "aks-0: hands 10.244.0.5 to its pod",
    ];
    assert_eq!(reply, expected);
}

#[test]
fn azure_carries_packets_between_its_own_pods() {
    let (request, _) = steps(&log(), "pod-aks-0", "pod-aks-1");
    assert_eq!(request, ["aks-0: Azure carries 10.244.1.5 to node aks-1", "aks-1: hands 10.244.1.5 to its pod"]);
}

#[test]
fn machines_on_a_segment_reach_each_other_by_their_kernels() {
    let deployment = Deployment::of(facts(1, &[(2, Fabric::L2)], Strategy::PerSite));
    let (request, _) = steps(&deployment, "pod-worker-1-0", "pod-worker-1-1");
    let expected = [
        "worker-1-0: route 10.244.65.0/24 sends 10.244.65.5 to 10.50.1.6 on dc-1-vnet/dc-1-subnet",
        "worker-1-1: hands 10.244.65.5 to its pod",
    ];
    assert_eq!(request, expected);
}

#[test]
fn a_pod_appears_under_its_nodes_address_outside_the_pods_range() {
    let world = log().world();
    let kept = |from: &str, to: &str| reach(&world, from, to).map(|path| (path.ok, path.source_kept)).unwrap();
    assert_eq!(kept("pod-aks-0", "worker-1-0"), (true, false));
    assert_eq!(kept("pod-aks-0", "pod-worker-1-0"), (true, true));
    assert_eq!(kept("worker-1-0", "pod-aks-0"), (true, true));
}

#[test]
fn a_router_that_masquerades_hides_the_source() {
    let mut world = log().world();
    world.hosts.machines.get_mut("dc-router-1").unwrap().tailscaled.prefs.no_snat = false;
    let path = reach(&world, "pod-aks-0", "pod-worker-1-0").unwrap();
    assert!(path.ok && !path.source_kept, "{path:#?}");
}

#[test]
fn addresses_are_as_good_as_names() {
    let world = log().world();
    assert_eq!(reach(&world, "10.244.0.5", "10.50.1.5"), reach(&world, "pod-aks-0", "worker-1-0"));
    let error = reach(&world, "pod-aks-9", "worker-1-0").expect_err("there is none");
    assert_eq!(error.to_string(), "no pod or machine is called or has the address \"pod-aks-9\"");
}

#[test]
fn the_matrix_of_the_logs_deployment_is_green() {
    let plane = Plane::of(&log().world());
    let matrix = plane.matrix(plane.pods());
    assert_eq!((matrix.cells.len(), matrix.dead), (12, 0));
    assert!(matrix.cells.iter().all(|cell| cell.source_kept), "every pod sees the other's own address");
}
