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
use world::Harness;

/// Route table of an egress firewall.
const FIREWALL_TABLE: &str = "routeTables/firewall-rt";

/// Returns the requests and commands so far that changed something. Locks of the run do not count.
fn writes(harness: &Harness) -> Vec<String> {
    let world = harness.sim.shared().peek();
    let writes = world.traffic.log.iter().filter(|request| request.mutating && !request.path.contains("/leases"));
    writes.map(|request| format!("{} {}", request.method, request.path)).collect()
}

/// Runs and plans provision-dc with some inputs replaced by `other`. It must fail at `step` with
/// these texts and without a write.
async fn refused(harness: &mut Harness, other: &Value, step: &str, expected: &[&str]) {
    let mut inputs = inputs::of("provision-dc", &WorldFacts::of(&harness.sim).await);
    inputs.extend(other.as_object().unwrap().clone());
    let before = writes(harness);
    for verb in [&["plan"][..], &["run", "workflow"]] {
        let code = harness.run_with_inputs(verb, "provision-dc", &inputs).await;
        assert_eq!(code, Some(3), "{verb:?} {other}: {}", harness.last_output());
        let output = harness.outputs.iter().rev().take(2).map(|(_, text)| String::from_utf8_lossy(text));
        let words: String = output.collect();
        for text in [&[step], expected].concat() {
            assert!(words.contains(text), "{text:?} is missing for {verb:?} {other}: {words}");
        }
        assert_eq!(writes(harness), before, "{verb:?} {other}: nothing was written");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_with_colliding_addresses_is_refused_before_any_write() {
    let mut harness = Harness::new(&[]).await;
    harness.log = "warn";
    harness.run_to_success("provision-aks-router").await;
    // A workflow applies the objects of the cluster again if they are not as it needs them.
    outside::delete(&harness.sim, "/apis/rbac.authorization.k8s.io/v1/clusterroles/stargate-sync").await;
    let twice = json!({ "workers": [
        { "name": "worker-1", "private_ip": "10.50.1.5" }, { "name": "worker-2", "private_ip": "10.50.1.5" }] });
    let expected = "worker worker-1 and worker worker-2 have the same address, 10.50.1.5";
    refused(&mut harness, &twice, "inputs_fit", &[expected]).await;
    let elsewhere = json!({ "workers": [{ "name": "worker-1", "private_ip": "10.99.1.5" }] });
    let expected = "address 10.99.1.5 of worker worker-1 is outside the subnet of site dc, 10.50.1.0/24";
    refused(&mut harness, &elsewhere, "inputs_fit", &[expected]).await;
    let expected = "address 10.50.2.4 of router stargate-aks-e2e-7-dc-router is outside the subnet of site dc";
    refused(&mut harness, &json!({ "router_ip": "10.50.2.4" }), "inputs_fit", &[expected]).await;
    let other_network = json!({ "network_prefix": "172.20.0.0/16", "workers": [] });
    let expected = "subnet of site dc, 10.50.1.0/24, is outside its virtual network, 172.20.0.0/16";
    refused(&mut harness, &other_network, "inputs_fit", &[expected]).await;

    let overlapping = json!({ "network_prefix": "10.237.0.0/16", "subnet_prefix": "10.237.0.0/24", "router_ip": "10.237.0.4", "workers": [] });
    refused(&mut harness, &overlapping, "site_fits", &["10.237.0.0/24", "dc"]).await;
    let services = json!({ "pod_block": "10.0.0.0/18" });
    let expected = "pod CIDR of site dc, 10.0.0.0/18, is inside the cluster's service CIDR, 10.0.0.0/16";
    refused(&mut harness, &services, "site_fits", &[expected]).await;
    let nodes = json!({ "pod_block": "10.244.0.0/18" });
    refused(&mut harness, &nodes, "site_fits", &["pod CIDR of AKS node", "is inside pod CIDR of site dc"]).await;
    let full = json!({ "pod_block": "10.244.64.0/24" });
    let expected = "pod CIDR 10.244.64.0/24 of site dc has 1 × /24, fewer than the site has workers: 2";
    refused(&mut harness, &full, "inputs_fit", &[expected]).await;
    // Only the registry of pod CIDRs shows this.
    let unfinished = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "stargate-pod-cidrs" },
        "data": { "dc-unfinished": r#"{"block":"10.244.96.0/19","allocations":{}}"# } });
    outside::create(&harness.sim, "/api/v1/namespaces/kube-system/configmaps", &unfinished).await;
    refused(&mut harness, &json!({}), "pod_blocks", &["dc-unfinished", "10.244.96.0/19"]).await;
    outside::delete(&harness.sim, "/api/v1/namespaces/kube-system/configmaps/stargate-pod-cidrs").await;
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
