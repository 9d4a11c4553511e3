//! Invalid deployments are refused before any resource is created.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "world/inputs.rs"]
mod inputs;
#[path = "world/outside.rs"]
#[expect(dead_code, reason = "the tests use a part of it each")]
mod outside;
mod world;

use inputs::{NODE_GROUP, WorldFacts};
use serde_json::{Value, json};
use stargate_sim::Surface;
use world::Harness;

/// Route table of an egress firewall.
const FIREWALL_TABLE: &str = "routeTables/firewall-rt";

/// Returns the number of requests so far that changed something in Azure.
fn azure_writes(harness: &Harness) -> Vec<String> {
    let world = harness.sim.shared().peek();
    let writes = world.traffic.log.iter().filter(|request| request.mutating && request.surface == Surface::Arm);
    writes.map(|request| format!("{} {}", request.method, request.path)).collect()
}

/// Runs provision-dc with some inputs replaced by `other`. It must fail with these texts and
/// without a write.
async fn refused(harness: &mut Harness, other: &Value, expected: &[&str]) {
    let mut inputs = inputs::of("provision-dc", &WorldFacts::of(&harness.sim).await);
    inputs.extend(other.as_object().unwrap().clone());
    let before = azure_writes(harness);
    let code = harness.run_with_inputs(&["run", "workflow"], "provision-dc", &inputs).await;
    assert_eq!(code, Some(3), "{other}: {}", harness.last_output());
    let words = harness.last_output();
    for text in expected {
        assert!(words.contains(text), "{text:?} is missing for {other}: {words}");
    }
    assert_eq!(azure_writes(harness), before, "{other}: nothing was created in Azure");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_with_colliding_addresses_is_refused_before_any_write() {
    let mut harness = Harness::new(&[]).await;
    harness.log = "warn";
    harness.run_to_success("provision-aks-router").await;
    let overlapping = json!({ "network_prefix": "10.237.0.0/16", "subnet_prefix": "10.237.0.0/24", "router_ip": "10.237.0.4", "workers": [] });
    refused(&mut harness, &overlapping, &["10.237.0.0/24", "dc"]).await;
    let twice = json!({ "workers": [
        { "name": "worker-1", "private_ip": "10.50.1.5" }, { "name": "worker-2", "private_ip": "10.50.1.5" }] });
    refused(&mut harness, &twice, &["worker worker-1 and worker worker-2 have the same address, 10.50.1.5"]).await;
    let elsewhere = json!({ "workers": [{ "name": "worker-1", "private_ip": "10.99.1.5" }] });
    refused(&mut harness, &elsewhere, &["10.99.1.5"]).await;
    let services = json!({ "pod_block": "10.0.0.0/18" });
    refused(&mut harness, &services, &["10.0.0.0/16"]).await;
    harness.run_to_success("provision-dc").await;
}

/// Associates the nodes' subnet with the route table of an egress firewall, which stargate does not
/// manage.
async fn egress_firewall(harness: &Harness) {
    let sim = &harness.sim;
    let everywhere =
        json!({ "addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.225.0.4" });
    let table = json!({
        "location": "canadacentral",
        "properties": { "routes": [{ "name": "to-firewall", "properties": everywhere }] },
    });
    outside::change_azure(sim, "PUT", &outside::network(sim, NODE_GROUP, FIREWALL_TABLE), table).await;
    let followed = json!({ "kind": "association", "subnet": "aks-subnet", "table": "firewall-rt" });
    outside::drift(sim, &followed).await;
}

/// Returns the names of the routes in the firewall's table.
async fn routes_of_firewall_table(harness: &Harness) -> Vec<String> {
    let table = outside::read_azure(&harness.sim, &outside::network(&harness.sim, NODE_GROUP, FIREWALL_TABLE)).await;
    let routes = table["properties"]["routes"].as_array().unwrap();
    routes.iter().map(|route| route["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unmanaged_route_table_is_refused_unless_an_input_names_it() {
    let mut harness = Harness::new(&[]).await;
    harness.log = "warn";
    egress_firewall(&harness).await;
    let code = harness.run_shipped(&["run", "workflow"], "provision-aks-router").await;
    assert_eq!(code, Some(3), "{}", harness.last_output());
    let words = harness.last_output();
    assert!(words.contains("routeTables/firewall-rt") && words.contains("workers_route_table"), "{words}");
    let around = WorldFacts::of(&harness.sim).await;
    for workflow in ["provision-aks-router", "provision-dc", "sync-pod-routes"] {
        let mut inputs = inputs::of(workflow, &around);
        inputs.insert("workers_route_table".into(), json!("firewall-rt"));
        let code = harness.run_with_inputs(&["run", "workflow"], workflow, &inputs).await;
        assert_eq!(code, Some(0), "{workflow}: {}", harness.last_output());
    }
    let routes = routes_of_firewall_table(&harness).await;
    assert!(routes.contains(&"to-firewall".to_owned()), "{routes:?}");
    assert!(routes.iter().any(|name| name.starts_with("stargate-")), "{routes:?}");
}
