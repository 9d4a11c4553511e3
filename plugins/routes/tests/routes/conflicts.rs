use stargate_routes::{Conflict, DesiredEntries, Facts, OtherPrefix, UnroutedNode, compute};

use crate::facts::{log, net, node};

/// Asserts that the facts, after `change`, are refused with exactly one conflict.
#[track_caller]
fn check(change: impl FnOnce(&mut Facts), message: &str, hint: &str) {
    let mut facts = log();
    change(&mut facts);
    let conflicts = compute(&facts).expect_err("refused").0;
    assert_eq!(conflicts, [Conflict { message: message.into(), hint: hint.into() }]);
}

/// Asserts that the facts, after `change`, leave out exactly this AKS node, with this reason, and
/// that there are entries for everything else.
#[track_caller]
fn check_left_out(change: impl FnOnce(&mut Facts), node: usize, reason: &str, hint: &str) {
    let mut facts = log();
    change(&mut facts);
    let name = facts.aks.nodes[node].name.clone();
    let desired = compute(&facts).expect("the rest is computed");
    let expected = UnroutedNode { name, reason: reason.into(), hint: Some(hint.into()) };
    assert_eq!(desired.unrouted, [expected]);
    facts.aks.nodes.remove(node);
    let rest = compute(&facts).expect("the facts without the node");
    assert_eq!(DesiredEntries { unrouted: vec![], ..desired }, rest);
}

#[test]
fn a_site_pod_cidr_that_contains_one_of_an_aks_node() {
    check_left_out(
        |facts| facts.aks.nodes[1].pod_cidr = Some(net("10.244.70.0/24")),
        1,
        "pod CIDR of AKS node aks-1, 10.244.70.0/24, is inside pod CIDR of site dc, 10.244.64.0/18",
        "the site's router would draw the node's packets into the tunnel: cordon and replace the node, or give the site a pod \
         CIDR that AKS has not reached",
    );
}

#[test]
fn a_pod_cidr_in_the_clusters_network() {
    check_left_out(
        |facts| facts.aks.nodes[0].pod_cidr = Some(net("10.225.0.0/24")),
        0,
        "pod CIDR of AKS node aks-0, 10.225.0.0/24, is inside the AKS virtual network, 10.224.0.0/12",
        "choose another prefix for pod CIDR of AKS node aks-0",
    );
}

#[test]
fn a_pod_cidr_in_the_service_cidr() {
    check_left_out(
        |facts| facts.aks.nodes[0].pod_cidr = Some(net("10.0.3.0/24")),
        0,
        "pod CIDR of AKS node aks-0, 10.0.3.0/24, is inside the cluster's service CIDR, 10.0.0.0/16",
        "choose another prefix for pod CIDR of AKS node aks-0",
    );
}

#[test]
fn an_aks_node_outside_the_node_subnet_is_left_out_with_all_its_reasons() {
    check_left_out(
        |facts| {
            facts.aks.nodes[1].internal_ip = "10.225.0.9".parse().ok();
            facts.aks.nodes[1].pod_cidr = Some(net("10.244.70.1/24"));
        },
        1,
        "pod CIDR of AKS node aks-1, 10.244.70.1/24, has host bits set; address 10.225.0.9 of AKS node aks-1 is outside the AKS \
         node subnet, 10.224.0.0/16",
        "write 10.244.70.0/24",
    );
}

#[test]
fn aks_nodes_with_the_same_address_are_left_out_both() {
    let mut facts = log();
    facts.aks.nodes.push(node("aks-2", "10.224.0.5", "10.244.2.0/24"));
    let desired = compute(&facts).unwrap();
    let names: Vec<&str> = desired.unrouted.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["aks-1", "aks-2"]);
    assert_eq!(desired.router_routes.len(), 1);
}

#[test]
fn a_conflict_of_a_site_is_reported_together_with_that_of_an_aks_node() {
    let mut facts = log();
    facts.aks.nodes[1].pod_cidr = Some(net("10.244.70.0/24"));
    facts.sites[0].workers[1].internal_ip = "10.50.2.6".parse().ok();
    assert_eq!(compute(&facts).expect_err("refused").0.len(), 2);
}

#[test]
fn two_nodes_with_the_same_pod_cidr() {
    check(
        |facts| facts.sites[0].workers[1].pod_cidr = Some(net("10.244.64.0/24")),
        "pod CIDR of worker worker-2 in site dc, 10.244.64.0/24, equals pod CIDR of worker worker-1 in site dc, \
         10.244.64.0/24",
        "cordon one of the two and repave it with another pod CIDR: pod CIDR of worker worker-2 in site dc or pod CIDR of worker \
         worker-1 in site dc",
    );
}

#[test]
fn a_subnet_in_the_tailnets_addresses() {
    check(
        |facts| {
            facts.sites[0].virtual_network.clear();
            facts.sites[0].subnet = net("100.100.1.0/24");
            facts.sites[0].router.ip = "100.100.1.4".parse().unwrap();
            facts.sites[0].workers.clear();
        },
        "subnet of site dc, 100.100.1.0/24, is inside the tailnet's device addresses, 100.64.0.0/10",
        "100.64.0.0/10 belongs to the tailnet: choose a prefix outside it",
    );
}

#[test]
fn a_route_of_another_device() {
    let source = "device old-router of the tailnet";
    check(
        |facts| facts.others.push(OtherPrefix { prefix: net("10.240.0.0/13"), source: source.into() }),
        "the cluster's pod CIDR, 10.244.0.0/16, is inside device old-router of the tailnet, 10.240.0.0/13",
        "withdraw 10.240.0.0/13 from device old-router of the tailnet, or move the cluster's pod CIDR",
    );
}

#[test]
fn disjoint_prefixes_of_others_and_exit_nodes_are_accepted() {
    let mut facts = log();
    for prefix in ["0.0.0.0/0", "172.17.0.0/16", "100.99.0.0/16"] {
        facts.others.push(OtherPrefix { prefix: net(prefix), source: "another network".into() });
    }
    compute(&facts).unwrap();
}

#[test]
fn two_workers_with_the_same_address() {
    check(
        |facts| facts.sites[0].workers[1].internal_ip = "10.50.1.5".parse().ok(),
        "worker worker-1 and worker worker-2 have the same address, 10.50.1.5",
        "one of the two is stale or misconfigured: drop it from the list, or renumber it",
    );
}

#[test]
fn two_machines_with_the_same_name() {
    check(
        |facts| facts.sites[0].workers[1].name = "aks-0".into(),
        "AKS node aks-0 and worker aks-0 have the same name, aks-0",
        "give each machine a name of its own, or drop the stale one from the list",
    );
}

#[test]
fn a_machine_outside_its_subnet() {
    check(
        |facts| facts.sites[0].workers[1].internal_ip = "10.50.2.6".parse().ok(),
        "address 10.50.2.6 of worker worker-2 is outside the subnet of site dc, 10.50.1.0/24",
        "no route would lead to it: correct the address or the subnet",
    );
}

#[test]
fn host_bits() {
    check(
        |facts| facts.sites[0].subnet = net("10.50.1.4/24"),
        "subnet of site dc, 10.50.1.4/24, has host bits set",
        "write 10.50.1.0/24",
    );
}

#[test]
fn a_listing_without_nodes() {
    check(
        |facts| facts.aks.nodes.clear(),
        "the cluster has no nodes that AKS manages",
        "run the step that lists the nodes again: a cluster has at least one",
    );
}

#[test]
fn all_conflicts_are_reported_together() {
    let mut facts = log();
    facts.sites[0].workers.push(node("worker-3", "10.50.1.5", "10.244.1.0/24"));
    let conflicts = compute(&facts).expect_err("refused");
    assert_eq!(conflicts.0.len(), 2, "{conflicts}");
}

/// Two addresses to which the formula of earlier installations gave the same pod CIDR.
#[test]
fn collisions_of_the_old_formula_are_found() {
    let formula = |third: u32, fourth: u32| format!("10.244.{}.0/24", (third * 10 + fourth) % 200 + 50);
    let mut facts = log();
    facts.sites[0].subnet = net("10.50.0.0/16");
    facts.sites[0].pod_block = net("10.244.0.0/17");
    facts.aks.nodes.truncate(1);
    facts.aks.nodes[0].pod_cidr = Some(net("10.244.128.0/24"));
    facts.sites[0].workers = vec![node("a", "10.50.1.6", &formula(1, 6)), node("b", "10.50.1.206", &formula(1, 206))];
    let conflicts = compute(&facts).expect_err("refused");
    assert_eq!(
        conflicts.0[0].message,
        "pod CIDR of worker b in site dc, 10.244.66.0/24, equals pod CIDR of worker a in site dc, 10.244.66.0/24"
    );
}
