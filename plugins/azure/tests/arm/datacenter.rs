use serde_json::{Value, json};
use stargate_sdk::{ActionError, FailureKind};
use stargate_sim::{Fault, Rule};

use crate::simulated::{ArmWorld, converge};

const GROUP: &str = "stargate-dc";

async fn run(world: &ArmWorld, action: &str, input: Value) -> Result<Value, ActionError> {
    converge(world.process(&world.sim.http_url()).of_another_step(), action, &input).await
}

fn named(name: &str) -> Value {
    json!({"resource_group": GROUP, "name": name, "location": "westeurope"})
}

fn with(mut input: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("an object") };
    input.as_object_mut().expect("an object").extend(more);
    input
}

/// Creates the network of a datacenter: reachable by SSH, with a NAT gateway.
async fn provision(world: &ArmWorld) -> Result<Value, ActionError> {
    run(world, "azure.resource_group.ensure", json!({"name": GROUP, "location": "westeurope"})).await?;
    let network = with(named("dc-vnet"), json!({"prefixes": ["10.50.0.0/16"]}));
    let network = run(world, "azure.virtual_network.ensure", network).await?;
    let rules = json!({"rules": [
        {"name": "ssh", "priority": 100, "direction": "inbound", "protocol": "tcp", "destination_port": "22"},
        {"name": "pods", "priority": 110, "direction": "inbound", "source": "10.0.0.0/8"},
    ]});
    let group = run(world, "azure.network_security_group.ensure", with(named("dc-nsg"), rules)).await?;
    let address = run(world, "azure.public_ip.ensure", named("dc-egress-pip")).await?;
    let gateway = with(named("dc-egress"), json!({"public_ip_id": address["id"]}));
    let gateway = run(world, "azure.nat_gateway.ensure", gateway).await?;
    let subnet = json!({"resource_group": GROUP, "virtual_network": network["name"], "name": "dc-subnet",
        "prefix": "10.50.1.0/24", "network_security_group_id": group["id"], "nat_gateway_id": gateway["id"]});
    run(world, "azure.subnet.ensure", subnet).await
}

#[tokio::test]
async fn a_datacenters_network_is_created_once() {
    let world = ArmWorld::open().await;
    let first = provision(&world).await.expect("provisioned");
    assert_eq!(first["gateway"], "10.50.1.1");
    let writes = world.writes();
    assert_eq!(writes, 6);
    assert_eq!(provision(&world).await.expect("unchanged"), first);
    assert_eq!(world.writes(), writes, "a second run writes nothing");
    let subnet =
        json!({"resource_group": GROUP, "virtual_network": "dc-vnet", "name": "dc-subnet", "prefix": "10.50.1.0/24"});
    run(&world, "azure.subnet.ensure", subnet).await.expect("what it refers to is left alone");
    assert_eq!(world.writes(), writes);
}

#[tokio::test]
async fn a_network_survives_a_lost_response_to_any_write() {
    for nth in 1..=6 {
        let world = ArmWorld::open().await;
        world.add(Rule { nth, ..Rule::new(Fault::LostReply) });
        provision(&world).await.unwrap_or_else(|error| panic!("write {nth}: {error}"));
        assert_eq!(world.writes(), 6, "write {nth}");
    }
}

#[tokio::test]
async fn a_changed_rule_is_updated_and_other_rules_are_kept() {
    let world = ArmWorld::open().await;
    provision(&world).await.expect("provisioned");
    let other = json!({"rules": [{"name": "theirs", "priority": 200, "direction": "outbound", "access": "deny"}]});
    run(&world, "azure.network_security_group.ensure", with(named("dc-nsg"), other.clone())).await.expect("added");
    let ssh = json!({"rules": [{"name": "ssh", "priority": 100, "direction": "inbound", "protocol": "tcp", "source": "203.0.113.0/24", "destination_port": "22"}]});
    run(&world, "azure.network_security_group.ensure", with(named("dc-nsg"), ssh)).await.expect("updated");
    let writes = world.writes();
    run(&world, "azure.network_security_group.ensure", with(named("dc-nsg"), other)).await.expect("still there");
    assert_eq!(world.writes(), writes);
}

async fn with_table() -> ArmWorld {
    let world = ArmWorld::open().await;
    run(&world, "azure.resource_group.ensure", json!({"name": GROUP, "location": "westeurope"})).await.expect("group");
    run(&world, "azure.route_table.ensure", named("rt")).await.expect("table");
    world
}

fn pods(range: std::ops::Range<u16>, hop: &str) -> Vec<Value> {
    range.map(|n| json!({"prefix": format!("10.{}.{}.0/24", 100 + n / 256, n % 256), "next_hop_ip": hop})).collect()
}

async fn sync(world: &ArmWorld, routes: Vec<Value>, prune: bool) -> Result<Value, ActionError> {
    let input = json!({"resource_group": GROUP, "route_table": "rt", "routes": routes, "prune": prune});
    run(world, "azure.routes.sync", input).await
}

#[tokio::test]
async fn a_thousand_routes_take_one_write_for_any_change() {
    let world = with_table().await;
    world.allow_routes(2_000).await;
    let before = world.writes();
    sync(&world, pods(0..1000, "10.50.1.4"), true).await.expect("written");
    assert_eq!(world.writes() - before, 1);
    sync(&world, pods(0..1000, "10.50.1.4"), true).await.expect("unchanged");
    assert_eq!(world.writes() - before, 1, "a second run writes nothing");
    let mut moved = pods(1..1000, "10.50.1.4");
    moved[0]["next_hop_ip"] = json!("10.50.1.9");
    moved.extend(pods(1000..1001, "10.50.1.4"));
    let output = sync(&world, moved, true).await.expect("changed");
    assert_eq!(world.writes() - before, 2, "one turned, one added, one removed");
    assert_eq!(output["count"], 1000);
    let one_more = sync(&world, pods(1000..1001, "10.50.1.9"), false).await.expect("turned alone");
    assert_eq!((world.writes() - before, &one_more["count"]), (3, &json!(1000)), "the route alone is written");
}

#[tokio::test]
async fn unmanaged_routes_are_kept_unchanged() {
    let world = with_table().await;
    let theirs = json!({"resource_group": GROUP, "route_table": "rt", "name": "theirs", "prefix": "10.9.0.0/16", "next_hop_ip": "10.1.1.1"});
    run(&world, "azure.route.ensure", theirs).await.expect("created");
    sync(&world, pods(0..8, "10.50.1.4"), true).await.expect("written at once");
    sync(&world, pods(0..7, "10.50.1.4"), true).await.expect("one removed");
    let output = sync(&world, pods(0..7, "10.50.1.4"), true).await.expect("unchanged");
    assert_eq!(output["count"], 8, "seven managed ones and the other");
    let conflict = vec![json!({"prefix": "10.9.0.0/16", "next_hop_ip": "10.50.1.4"})];
    let error = sync(&world, conflict, false).await.expect_err("not managed");
    assert_eq!(error.kind, FailureKind::Permanent);
    assert!(error.message.contains("\"theirs\" is not managed"), "{error}");
}

#[tokio::test]
async fn too_large_a_share_is_never_deleted() {
    let world = with_table().await;
    sync(&world, pods(0..8, "10.50.1.4"), true).await.expect("written");
    let writes = world.writes();
    let empty = sync(&world, Vec::new(), true).await.expect_err("an empty list");
    assert!(empty.message.contains("the list of desired routes is empty"), "{empty}");
    let most = sync(&world, pods(0..3, "10.50.1.4"), true).await.expect_err("five of eight");
    assert!(most.message.contains("5 of its 8 managed routes"), "{most}");
    sync(&world, pods(0..3, "10.50.1.4"), false).await.expect("nothing is removed unasked");
    assert_eq!(world.writes(), writes);
}

#[tokio::test]
async fn an_intended_empty_list_empties_the_table_and_the_share_limits_other_lists() {
    let world = with_table().await;
    sync(&world, pods(0..8, "10.50.1.4"), true).await.expect("written");
    let meant = |routes: Vec<Value>| json!({"resource_group": GROUP, "route_table": "rt", "routes": routes, "prune": true, "empty_is_meant": true, "max_prune_share": 0.5});
    let most = run(&world, "azure.routes.sync", meant(pods(0..3, "10.50.1.4"))).await.expect_err("five of eight");
    assert!(most.message.contains("5 of its 8 managed routes"), "{most}");
    let theirs = json!({"resource_group": GROUP, "route_table": "rt", "name": "theirs", "prefix": "10.9.0.0/16", "next_hop_ip": "10.1.1.1"});
    run(&world, "azure.route.ensure", theirs).await.expect("created");
    let output = run(&world, "azure.routes.sync", meant(Vec::new())).await.expect("emptied");
    assert_eq!(output["count"], 1, "not managed");
    let writes = world.writes();
    run(&world, "azure.routes.sync", meant(Vec::new())).await.expect("unchanged");
    sync(&world, Vec::new(), true).await.expect("nothing is left to lose");
    assert_eq!(world.writes(), writes);
}

const DELETE: &str = "azure.virtual_machine.delete";
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

/// Creates a machine with its network interface; returns its host key.
async fn with_machine(world: &ArmWorld) -> String {
    let subnet = provision(world).await.expect("provisioned");
    let nic = json!({"subnet_id": subnet["id"], "private_ip": "10.50.1.5", "ip_forwarding": true});
    let nic = run(world, "azure.network_interface.ensure", with(named("w-nic"), nic)).await.expect("created");
    let machine = json!({"size": "Standard_D2s_v5", "network_interface_id": nic["id"], "admin_username": "ubuntu",
        "ssh_public_key": KEY, "image": {"publisher": "Canonical", "offer": "o", "sku": "s"}});
    let machine = run(world, "azure.virtual_machine.ensure", with(named("w"), machine)).await.expect("created");
    machine["host_key"].as_str().expect("a key").to_owned()
}

fn deletion(host_key: &str, private_ip: &str) -> Value {
    json!({"resource_group": GROUP, "name": "w", "host_key": host_key, "network_interface": "w-nic", "private_ip": private_ip})
}

#[tokio::test]
async fn only_the_machine_with_the_registered_key_and_address_is_deleted() {
    let world = ArmWorld::open().await;
    let host_key = with_machine(&world).await;
    let writes = world.writes();
    for (input, said) in [(deletion(KEY, "10.50.1.5"), "host key"), (deletion(&host_key, "10.50.1.9"), "10.50.1.5")] {
        let error = run(&world, DELETE, input).await.expect_err(said);
        assert_eq!((error.kind, error.message.contains(said)), (FailureKind::Permanent, true), "{error}");
    }
    assert_eq!(world.writes(), writes, "nothing is deleted");
    let output = run(&world, DELETE, deletion(&host_key, "10.50.1.5")).await.expect("deleted");
    assert_eq!((output["deleted"].as_array().map(Vec::len), world.writes()), (Some(2), writes + 2));
    let output = run(&world, DELETE, deletion(&host_key, "10.50.1.5")).await.expect("gone");
    assert_eq!((&output["deleted"], world.writes()), (&json!([]), writes + 2));
}

#[tokio::test]
async fn after_a_lost_response_machine_and_interface_are_deleted() {
    for nth in 1..=2 {
        let world = ArmWorld::open().await;
        let host_key = with_machine(&world).await;
        let writes = world.writes();
        world.add(Rule { nth, ..Rule::new(Fault::LostReply) });
        run(&world, DELETE, deletion(&host_key, "10.50.1.5")).await.expect("deleted");
        assert_eq!(world.writes(), writes + 2, "write {nth}: each is deleted once");
    }
}
