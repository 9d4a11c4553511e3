use serde_json::json;
use stargate_sim::World;
use stargate_sim::dataplane::{DropCause, IpProtocol, Plane, Service, reach};

use crate::deployment::{everybody, log};
use crate::entries::{NODES, ROUTER};
use crate::network::Guard;

const AKS: &str = "pod-aks-0";
const DC: &str = "pod-worker-1-0";
const DC_SUBNET: &str = "dc-1-subnet";

/// That a packet of `from` for `to` is dropped by a security group there.
#[track_caller]
fn check(world: &World, from: &str, to: &str, at: &str, why: &str) {
    let path = reach(world, from, to).unwrap();
    let died = path.died().unwrap_or_else(|| panic!("it arrived: {path:#?}"));
    assert_eq!((died.at.as_str(), died.cause, died.why.as_str()), (at, DropCause::SecurityGroup, why), "{path:#?}");
}

/// Neither pods of either side nor the datacenter's machines are in the network of the AKS router,
/// nor has its subnet routes for the datacenter's.
#[test]
fn azures_own_rules_let_a_router_pass_nothing_on() {
    let world = log().guarded(Guard::of(ROUTER)).world();
    let why = |rule: &str, from: &str, to: &str| {
        format!("rule {rule} of security group router-subnet-nsg drops packet of {from} for {to}")
    };
    check(&world, AKS, DC, ROUTER, &why("DenyAllInBound", "10.244.0.5", "10.244.64.5"));
    check(&world, DC, AKS, ROUTER, &why("DenyAllOutBound", "10.244.64.5", "10.244.0.5"));
    check(&world, "aks-0", "worker-1-0", ROUTER, &why("DenyAllInBound", "10.224.0.4", "10.50.1.5"));
    check(&world, "worker-1-0", "aks-0", ROUTER, &why("DenyAllOutBound", "10.50.1.5", "10.224.0.4"));
}

#[test]
fn with_the_workflows_rules_everybody_reaches_everybody() {
    let plane = Plane::of(&log().guarded_as_shipped().world());
    let matrix = plane.matrix(&everybody(&plane));
    assert_eq!(matrix.dead, 0, "{}", matrix.text());
}

/// Destinations of the subnet's routes count as its network: at the datacenter, that is everything.
#[test]
fn what_a_subnet_has_routes_for_is_in_its_network() {
    let plane = Plane::of(&log().guarded(Guard::of(DC_SUBNET)).world());
    let matrix = plane.matrix(&everybody(&plane));
    assert_eq!(matrix.dead, 0, "{}", matrix.text());
}

#[test]
fn what_answers_a_request_passes_and_what_asks_does_not() {
    let from = json!({ "sourceAddressPrefix": "10.244.0.0/16" });
    let world = log().guarded(Guard::of(ROUTER).rule("in", "Inbound", 100, "Allow", &from)).world();
    assert!(reach(&world, AKS, DC).unwrap().ok);
    let why = "rule DenyAllOutBound of security group router-subnet-nsg drops packet of 10.244.64.5 for 10.244.0.5";
    check(&world, DC, AKS, ROUTER, why);
}

#[test]
fn the_groups_of_nic_and_subnet_must_both_let_it_pass() {
    let open = |guard: Guard| {
        guard.rule("in", "Inbound", 100, "Allow", &json!({})).rule("out", "Outbound", 100, "Allow", &json!({}))
    };
    let world = log().guarded(open(Guard::of(ROUTER))).guarded(Guard::of("aks-router")).world();
    let why = "rule DenyAllInBound of security group aks-router-nsg drops packet of 10.244.0.5 for 10.244.64.5";
    check(&world, AKS, DC, "aks-router-nic", why);
    let world = log().guarded(open(Guard::of(ROUTER))).guarded(open(Guard::of("aks-router"))).world();
    assert!(reach(&world, AKS, DC).unwrap().ok);
}

/// Azure carries packets between its own pods, and looks at them at both nodes.
#[test]
fn pods_of_nodes_pass_the_nodes_groups() {
    let guard = Guard::of(NODES);
    let world = log().guarded(guard.clone()).world();
    assert!(reach(&world, AKS, "pod-aks-1").unwrap().ok);
    let to = json!({ "destinationAddressPrefix": "10.244.1.0/24" });
    let world = log().guarded(guard.rule("theirs", "Outbound", 100, "Deny", &to)).world();
    let why = "rule theirs of security group aks-subnet-nsg drops packet of 10.244.0.5 for 10.244.1.5";
    check(&world, AKS, "pod-aks-1", NODES, why);
}

#[test]
fn a_rule_is_for_a_protocol_and_ports() {
    let deny = json!({ "protocol": "Tcp", "destinationPortRange": "8000-8080" });
    let world = log().guarded(Guard::of(NODES).rule("theirs", "Inbound", 100, "Deny", &deny)).world();
    let plane = Plane::of(&world);
    let passes = |protocol, port| plane.path(DC, AKS, Service { protocol, port }).unwrap().ok;
    let tcp = [7999, 8000, 8080, 8081].map(|port| passes(IpProtocol::Tcp, port));
    assert_eq!(tcp, [true, false, false, true]);
    assert!(passes(IpProtocol::Udp, 8000) && passes(IpProtocol::Icmp, 8000));
}
