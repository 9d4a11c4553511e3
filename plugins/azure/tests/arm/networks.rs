use serde_json::{Value, json};
use stargate_sdk::FailureKind;

use crate::fake::{FakeArm, OperationStyle, TestAttempt, group_id, id};

fn network_id() -> String {
    id("Network/virtualNetworks/vn")
}

fn subnet(name: &str, prefix: &str) -> Value {
    json!({"id": format!("{}/subnets/{name}", network_id()), "name": name,
        "properties": {"provisioningState": "Succeeded", "addressPrefix": prefix}})
}

fn network(subnets: &[Value]) -> Value {
    json!({"location": "westeurope", "properties": {"provisioningState": "Succeeded",
        "addressSpace": {"addressPrefixes": ["10.224.0.0/12"]}, "subnets": subnets}})
}

async fn arm_with_network() -> FakeArm {
    let arm = FakeArm::start().await;
    arm.set(&network_id(), network(&[subnet("aks-subnet", "10.224.0.0/16")]));
    arm
}

fn router_subnet(prefix: &str) -> Value {
    json!({"resource_group": "g", "virtual_network": "vn", "name": "routers", "prefix": prefix})
}

async fn refused_subnet(prefix: &str) -> String {
    let arm = arm_with_network().await;
    let error = TestAttempt::first(&arm).run("azure.subnet.ensure", router_subnet(prefix)).await.expect_err("refused");
    assert_eq!(error.kind, FailureKind::Permanent);
    assert!(arm.puts().is_empty());
    error.message
}

#[tokio::test]
async fn a_subnet_that_overlaps_another_is_refused_and_both_are_named() {
    let message = refused_subnet("10.224.250.0/24").await;
    assert_eq!(message, "subnet \"routers\": 10.224.250.0/24 overlaps 10.224.0.0/16 of subnet \"aks-subnet\"");
}

#[tokio::test]
async fn a_subnet_outside_the_network_is_refused() {
    let message = refused_subnet("10.50.0.0/24").await;
    assert_eq!(message, "subnet \"routers\": 10.50.0.0/24 is outside virtual network \"vn\" (10.224.0.0/12)");
}

#[tokio::test]
async fn a_subnet_is_created_once_with_its_gateway() {
    let arm = arm_with_network().await;
    arm.style(OperationStyle::Status);
    let step = TestAttempt::first(&arm);
    let output = step.run("azure.subnet.ensure", router_subnet("10.237.0.0/24")).await.expect("created");
    assert_eq!(output["gateway"], "10.237.0.1");
    assert_eq!(output["id"], format!("{}/subnets/routers", network_id()));
    step.next().run("azure.subnet.ensure", router_subnet("10.237.0.0/24")).await.expect("unchanged");
    assert_eq!(arm.puts().len(), 1);
}

#[tokio::test]
async fn a_subnet_with_another_prefix_is_not_changed() {
    let arm = FakeArm::start().await;
    arm.set(&network_id(), network(&[subnet("routers", "10.238.0.0/24")]));
    let error =
        TestAttempt::first(&arm).run("azure.subnet.ensure", router_subnet("10.237.0.0/24")).await.expect_err("refused");
    assert_eq!(error.message, "subnet \"routers\": it exists with 10.238.0.0/24, not 10.237.0.0/24");
    assert!(arm.puts().is_empty());
}

#[tokio::test]
async fn a_security_group_of_another_party_is_not_replaced() {
    let group = |name: &str| id(&format!("Network/networkSecurityGroups/{name}"));
    let arm = FakeArm::start().await;
    let mut existing = subnet("routers", "10.237.0.0/24");
    existing["properties"]["networkSecurityGroup"] = json!({"id": group("corp-nsg")});
    arm.set(&network_id(), network(&[existing]));
    let mut input = router_subnet("10.237.0.0/24");
    input["network_security_group_id"] = json!(group("r-nsg"));
    let error = TestAttempt::first(&arm).run("azure.subnet.ensure", input.clone()).await.expect_err("refused");
    let reason = "it has the network security group \"corp-nsg\", which is not replaced by \"r-nsg\"";
    assert_eq!(error.message, format!("subnet \"routers\": {reason}"));
    assert!(error.hint.expect("a hint").contains("/subnets/routers --network-security-group \"\"`"));
    assert!(arm.puts().is_empty());
    input["network_security_group_id"] = json!(group("CORP-nsg"));
    TestAttempt::first(&arm).run("azure.subnet.ensure", input).await.expect("the same group");
    assert!(arm.puts().is_empty());
}

#[tokio::test]
async fn writes_to_one_network_are_sequential() {
    let arm = arm_with_network().await;
    arm.style(OperationStyle::Status);
    let step = TestAttempt::first(&arm);
    let input = |name: &str, prefix: &str| json!({"resource_group": "g", "virtual_network": "vn", "name": name, "prefix": prefix});
    let (a, b, c) = tokio::join!(
        step.run("azure.subnet.ensure", input("a", "10.237.1.0/24")),
        step.run("azure.subnet.ensure", input("b", "10.237.2.0/24")),
        step.run("azure.subnet.ensure", input("c", "10.237.3.0/24")),
    );
    a.and(b).and(c).expect("all created");
    assert_eq!((arm.puts().len(), arm.overlapping()), (3, false));
}

fn association(replace: bool) -> Value {
    json!({"resource_group": "g", "virtual_network": "vn", "subnet": "s",
        "route_table_id": id("Network/routeTables/t"), "replace": replace})
}

fn subnet_id() -> String {
    id("Network/virtualNetworks/vn/subnets/s")
}

async fn arm_with_subnet(table: Option<&str>) -> FakeArm {
    let arm = FakeArm::start().await;
    let mut body = json!({"properties": {"provisioningState": "Succeeded", "addressPrefix": "10.224.0.0/16",
        "networkSecurityGroup": {"id": id("Network/networkSecurityGroups/n")},
        "somethingFromTheFuture": {"kept": [1, 2]}}});
    if let Some(table) = table {
        body["properties"]["routeTable"] = json!({ "id": table });
    }
    arm.set(&subnet_id(), body);
    arm
}

#[tokio::test]
async fn associating_a_route_table_keeps_every_other_property_of_the_subnet() {
    let arm = arm_with_subnet(None).await;
    let before = arm.resource(&subnet_id());
    let output = TestAttempt::first(&arm).run("azure.subnet.associate", association(false)).await.expect("associated");
    assert_eq!(output["route_table_id"], id("Network/routeTables/t"));
    let mut after = arm.resource(&subnet_id());
    assert_eq!(after["properties"]["somethingFromTheFuture"], json!({"kept": [1, 2]}));
    after["properties"].as_object_mut().expect("properties").remove("routeTable");
    assert_eq!(after["properties"], before["properties"]);
    assert_eq!(arm.puts()[0].header("if-match"), Some("W/\"100\""));
}

#[tokio::test]
async fn the_same_association_in_another_case_is_unchanged() {
    let arm = arm_with_subnet(Some(&id("Network/routeTables/t").to_uppercase())).await;
    TestAttempt::first(&arm).run("azure.subnet.associate", association(false)).await.expect("unchanged");
    assert!(arm.puts().is_empty());
}

#[tokio::test]
async fn another_route_table_is_replaced_only_on_demand() {
    let other = id("Network/routeTables/other");
    let arm = arm_with_subnet(Some(&other)).await;
    let step = TestAttempt::first(&arm);
    let error = step.run("azure.subnet.associate", association(false)).await.expect_err("another table");
    assert_eq!(error.kind, FailureKind::Permanent);
    assert!(error.message.contains(&other) && error.message.contains(&id("Network/routeTables/t")), "{error}");
    assert!(arm.puts().is_empty());
    step.run("azure.subnet.associate", association(true)).await.expect("replaced");
    assert_eq!(arm.resource(&subnet_id())["properties"]["routeTable"]["id"], id("Network/routeTables/t"));
}

fn route(prefix: &str, hop: &str) -> Value {
    json!({"resource_group": "g", "route_table": "t", "prefix": prefix, "next_hop_ip": hop})
}

async fn arm_with_route(name: &str, prefix: &str, hop: &str) -> FakeArm {
    let arm = FakeArm::start().await;
    let table = id("Network/routeTables/t");
    let route = json!({"id": format!("{table}/routes/{name}"), "name": name, "etag": "W/\"100\"", "properties": {"provisioningState": "Succeeded",
        "addressPrefix": prefix, "nextHopType": "VirtualAppliance", "nextHopIpAddress": hop, "hasBgpOverride": false}});
    arm.set(&format!("{table}/routes/{name}"), route.clone());
    arm.set(
        &table,
        json!({"location": "westeurope", "properties": {"provisioningState": "Succeeded", "routes": [route]}}),
    );
    arm
}

#[tokio::test]
async fn a_new_route_gets_a_name_from_its_prefix() {
    let arm = arm_with_route("other", "10.60.0.0/16", "10.237.0.4").await;
    let output =
        TestAttempt::first(&arm).run("azure.route.ensure", route("10.50.0.0/16", "10.237.0.4")).await.expect("created");
    assert_eq!(output, json!({"name": "stargate-10.50.0.0-16", "prefix": "10.50.0.0/16", "next_hop_ip": "10.237.0.4"}));
    assert_eq!(arm.puts().len(), 1);
    assert_eq!(arm.puts()[0].body["properties"]["nextHopType"], "VirtualAppliance");
}

#[tokio::test]
async fn a_route_of_the_same_prefix_keeps_its_name() {
    let arm = arm_with_route("to-dc", "10.50.0.0/16", "10.237.0.4").await;
    let output = TestAttempt::first(&arm)
        .run("azure.route.ensure", route("10.50.0.0/16", "10.237.0.4"))
        .await
        .expect("unchanged");
    assert_eq!((output["name"].as_str(), arm.puts().len()), (Some("to-dc"), 0));
}

#[tokio::test]
async fn another_hop_is_changed_in_place_under_the_old_name() {
    let arm = arm_with_route("to-dc", "10.50.0.0/16", "10.237.0.9").await;
    let output =
        TestAttempt::first(&arm).run("azure.route.ensure", route("10.50.0.0/16", "10.237.0.4")).await.expect("changed");
    assert_eq!(output["name"], "to-dc");
    let puts = arm.puts();
    assert_eq!(puts.len(), 1);
    assert!(puts[0].is("PUT", "/routes/to-dc"));
    assert_eq!(puts[0].body["properties"]["hasBgpOverride"], false, "the rest is kept");
}

#[tokio::test]
async fn a_name_of_another_prefix_is_refused() {
    let arm = arm_with_route("stargate-10.50.0.0-16", "10.60.0.0/16", "10.237.0.4").await;
    let error = TestAttempt::first(&arm)
        .run("azure.route.ensure", route("10.50.0.0/16", "10.237.0.4"))
        .await
        .expect_err("name conflict");
    assert_eq!(error.kind, FailureKind::Permanent);
    assert!(arm.puts().is_empty());
}

#[tokio::test]
async fn an_existing_route_table_keeps_its_routes() {
    let arm = arm_with_route("to-dc", "10.50.0.0/16", "10.237.0.4").await;
    let input = json!({"resource_group": "g", "name": "t", "location": "West Europe"});
    TestAttempt::first(&arm).run("azure.route_table.ensure", input).await.expect("unchanged");
    assert!(arm.puts().is_empty());
}

fn nic_input() -> Value {
    json!({"resource_group": "g", "name": "n", "location": "westeurope", "subnet_id": subnet_id(),
        "public_ip_id": id("Network/publicIPAddresses/p"), "ip_forwarding": true})
}

#[tokio::test]
async fn a_new_network_interface_keeps_the_address_that_azure_chose() {
    let arm = FakeArm::start().await;
    let output = TestAttempt::first(&arm).run("azure.network_interface.ensure", nic_input()).await.expect("created");
    assert_eq!(output["private_ip"], "10.237.0.4");
    let nic = arm.resource(&id("Network/networkInterfaces/n"));
    assert_eq!(nic["properties"]["enableIPForwarding"], true);
    let configuration = &nic["properties"]["ipConfigurations"][0]["properties"];
    assert_eq!(configuration["privateIPAllocationMethod"], "Static");
    assert_eq!(configuration["publicIPAddress"]["id"], id("Network/publicIPAddresses/p"));
}

fn existing_nic(subnet: &str) -> Value {
    json!({"location": "westeurope", "properties": {"provisioningState": "Succeeded", "enableIPForwarding": false,
        "nicType": "Standard", "networkSecurityGroup": {"id": id("Network/networkSecurityGroups/n")},
        "ipConfigurations": [{"name": "ipconfig1", "properties": {"primary": true, "privateIPAddress": "10.237.0.9",
            "privateIPAllocationMethod": "Dynamic", "subnet": {"id": subnet}}}]}})
}

#[tokio::test]
async fn an_existing_network_interface_is_updated_and_otherwise_kept() {
    let arm = FakeArm::start().await;
    arm.set(&id("Network/networkInterfaces/n"), existing_nic(&subnet_id()));
    let step = TestAttempt::first(&arm);
    let output = step.run("azure.network_interface.ensure", nic_input()).await.expect("repaired");
    assert_eq!(output["private_ip"], "10.237.0.9");
    let puts = arm.puts();
    assert_eq!((puts.len(), puts[0].header("if-match")), (1, Some("W/\"100\"")));
    let properties = &puts[0].body["properties"];
    assert_eq!(properties["enableIPForwarding"], true);
    assert_eq!(properties["networkSecurityGroup"]["id"], id("Network/networkSecurityGroups/n"));
    step.next().run("azure.network_interface.ensure", nic_input()).await.expect("unchanged");
    assert_eq!(arm.puts().len(), 1);
}

#[tokio::test]
async fn a_network_interface_in_another_subnet_is_refused() {
    let arm = FakeArm::start().await;
    arm.set(&id("Network/networkInterfaces/n"), existing_nic(&id("Network/virtualNetworks/vn/subnets/other")));
    let error = TestAttempt::first(&arm)
        .run("azure.network_interface.ensure", nic_input())
        .await
        .expect_err("another region or subnet");
    assert_eq!(error.kind, FailureKind::Permanent);
    assert!(arm.puts().is_empty());
}

fn scale_set_id() -> String {
    id("Compute/virtualMachineScaleSets/aks-pool-vmss")
}

fn node_nic(subnet: &str) -> Value {
    json!({"properties": {"ipConfigurations": [{"properties": {"subnet": {"id": format!("{}/subnets/{subnet}", network_id())}}}]}})
}

async fn arm_with_cluster(scale_sets: &[Value], nics: Vec<Value>) -> FakeArm {
    let arm = FakeArm::start().await;
    let subnets =
        [subnet("aks-subnet", "10.224.0.0/16"), subnet("nodes", "10.225.0.0/16"), subnet("routers", "10.237.0.0/24")];
    arm.set(&network_id(), network(&subnets));
    let providers = format!("{}/providers", group_id());
    arm.list(&format!("{providers}/Microsoft.Network/virtualNetworks"), vec![json!({"id": network_id()})]);
    arm.list(&format!("{providers}/Microsoft.Compute/virtualMachineScaleSets"), scale_sets.to_vec());
    arm.list(&format!("{}/networkInterfaces", scale_set_id()), nics);
    arm.list(&format!("{providers}/Microsoft.Network/routeTables"), vec![]);
    arm
}

async fn discover(arm: &FakeArm) -> Result<Value, stargate_sdk::ActionError> {
    TestAttempt::first(arm).run("azure.virtual_network.discover", json!({"resource_group": "g"})).await
}

#[tokio::test]
async fn the_nodes_subnet_is_that_of_their_interfaces() {
    let arm = arm_with_cluster(&[json!({"id": scale_set_id()})], vec![node_nic("nodes"), node_nic("nodes")]).await;
    let output = discover(&arm).await.expect("found");
    assert_eq!(output["node_subnet"]["name"], "nodes");
    assert_eq!((&output["name"], &output["resource_group"]), (&json!("vn"), &json!("g")));
    assert_eq!(output["subnets"].as_array().map(Vec::len), Some(3));
    assert!(
        arm.seen().iter().any(|seen| seen.is("GET", "/networkInterfaces") && seen.query == "api-version=2018-10-01")
    );
}

#[tokio::test]
async fn without_scale_sets_it_is_the_subnet_that_aks_creates() {
    let output = discover(&arm_with_cluster(&[], vec![]).await).await.expect("found");
    assert_eq!(output["node_subnet"]["prefix"], "10.224.0.0/16");
}

#[tokio::test]
async fn nodes_in_several_subnets_are_an_error_that_names_them() {
    let arm = arm_with_cluster(&[json!({"id": scale_set_id()})], vec![node_nic("nodes"), node_nic("aks-subnet")]).await;
    let error = discover(&arm).await.expect_err("two");
    assert!(
        error.message.ends_with("cannot determine which node subnet is the cluster's: aks-subnet, nodes"),
        "{error}"
    );
}

#[tokio::test]
async fn several_networks_are_an_error_that_names_them() {
    let arm = arm_with_cluster(&[], vec![]).await;
    let other = id("Network/virtualNetworks/other");
    let networks = vec![json!({"id": network_id()}), json!({"id": other})];
    arm.list(&format!("{}/providers/Microsoft.Network/virtualNetworks", group_id()), networks);
    let error = discover(&arm).await.expect_err("two");
    assert_eq!(error.kind, FailureKind::Permanent);
    assert!(error.message.contains(&network_id()) && error.message.contains(&other), "{error}");
    let named = json!({"resource_group": "g", "name": "vn"});
    TestAttempt::first(&arm).run("azure.virtual_network.discover", named).await.expect("named");
}

#[tokio::test]
async fn machines_that_forward_are_unchanged_and_one_without_interface_is_an_error() {
    let arm = FakeArm::start().await;
    let nic = |name: &str, machine: &str, on: bool| {
        json!({"id": id(&format!("Network/networkInterfaces/{name}")), "name": name, "tags": {"kept": "yes"},
            "properties": {"provisioningState": "Succeeded", "enableIPForwarding": on,
                "virtualMachine": {"id": id(&format!("Compute/virtualMachines/{machine}"))}}})
    };
    let all = [nic("a", "Router", false), nic("b", "worker-1", true), nic("c", "other", false)];
    for nic in &all {
        arm.set(nic["id"].as_str().expect("id"), nic.clone());
    }
    arm.list(&format!("{}/providers/Microsoft.Network/networkInterfaces", group_id()), all.to_vec());
    let step = TestAttempt::first(&arm);
    let input = |machines: &[&str]| json!({"resource_group": "g", "machines": machines});
    let error = step.run("azure.forwarding.sync", input(&["gone"])).await.expect_err("no such machine");
    assert_eq!(error.kind, FailureKind::Permanent);
    assert!(arm.puts().is_empty());
    step.next().run("azure.forwarding.sync", input(&["worker-1"])).await.expect("unchanged");
    assert!(arm.puts().is_empty());
}
