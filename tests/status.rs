//! `stargate status` shows the state of a deployment, and its exit code is for monitoring.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue panics")]

#[path = "world/inputs.rs"]
mod inputs;
#[path = "world/outside.rs"]
#[expect(dead_code, reason = "each test uses a part of the module")]
mod outside;
#[path = "world/parties.rs"]
#[expect(dead_code, reason = "each test uses a part of the module")]
mod parties;
mod world;

use inputs::{AKS_ROUTER, CLUSTER, DC_ROUTER};
use parties::expire;
use serde_json::{Value, json};
use world::Harness;

/// Runs `stargate status` and returns its exit code and its document.
async fn status(harness: &mut Harness) -> (Option<i32>, Value) {
    let inputs = [format!("cluster={CLUSTER}"), format!("cluster_resource_group={CLUSTER}")];
    let code = harness.run(&["status", "-o", "json", "-i", &inputs[0], "-i", &inputs[1]]).await;
    let (_, text) = &harness.outputs[harness.outputs.len() - 2];
    (code, serde_json::from_slice(text).unwrap_or_else(|_| panic!("{}", harness.last_output())))
}

#[tokio::test]
async fn the_state_of_machines_surfaces_and_runs_is_shown() {
    let mut harness = Harness::new(&[]).await;
    harness.log = "warn";
    harness.run_to_success("provision-aks-router").await;
    harness.run_to_success("provision-dc").await;
    harness.run_to_success("repave-worker").await;
    harness.run_to_success("sync-pod-routes").await;

    let writes = harness.sim.shared().peek().traffic.mutating();
    let (code, shown) = status(&mut harness).await;
    assert_eq!((code, &shown["exit"]), (Some(0), &json!(0)), "{shown:#}");
    assert_eq!((&shown["cluster"], &shown["nodes"], &shown["nodes_ready"]), (&json!(CLUSTER), &json!(2), &json!(2)));
    let site = &shown["sites"][0];
    assert_eq!((&site["router"], &site["free_pod_cidrs"]), (&json!(DC_ROUTER), &json!(62)), "{site}");
    let routers: Vec<_> = shown["routers"].as_array().unwrap().iter().map(|router| &router["name"]).collect();
    assert_eq!(routers, [AKS_ROUTER, DC_ROUTER]);
    for router in shown["routers"].as_array().unwrap() {
        assert_eq!(router["connected"], true, "{router}");
        assert!(router["version"].is_string() && !router["routes"].as_array().unwrap().is_empty(), "{router}");
    }
    let workers: Vec<_> =
        shown["workers"].as_array().unwrap().iter().map(|worker| (&worker["name"], &worker["ready"])).collect();
    assert_eq!(workers, [(&json!("worker-1"), &json!(true)), (&json!("worker-2"), &Value::Null)]);
    assert_eq!(shown["route_tables"].as_array().unwrap().len(), 3);
    assert_eq!((&shown["surfaces"]["differences"], &shown["last_sync"]["status"]), (&json!(0), &json!("succeeded")));
    assert_eq!(shown["unfinished"], json!([]));

    outside::drift(&harness.sim, &json!({ "kind": "nic_forwarding", "machine": AKS_ROUTER })).await;
    let (code, shown) = status(&mut harness).await;
    assert_eq!((code, &shown["surfaces"]["differences"]), (Some(2), &json!(1)), "{shown:#}");
    assert!(shown["surfaces"]["changes"]["aks_router_forwards"].is_array(), "{shown:#}");

    let policy = json!({ "kind": "forward_policy", "host": DC_ROUTER });
    outside::drift(&harness.sim, &policy).await;
    let inputs = [format!("cluster={CLUSTER}"), format!("cluster_resource_group={CLUSTER}")];
    assert_eq!(harness.run(&["status", "-i", &inputs[0], "-i", &inputs[1]]).await, Some(3));
    let text = harness.last_output();
    for part in [
        "cluster stargate-aks-e2e-7: ",
        "2 of 2 nodes of AKS ready",
        "62 pod CIDRs left",
        "failed: router_filter[stargate-aks-e2e-7-dc-router]",
        "1 difference, 1 failed",
        "last sync: succeeded at ",
        "next sync by the workflow's schedule: ",
        "hint: run `stargate run workflow sync-pod-routes` with the same inputs",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(harness.sim.shared().peek().traffic.mutating(), writes, "a status changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_logged_in_to_by_its_recorded_access() {
    let mut harness = Harness::new(&[]).await;
    harness.log = "warn";
    harness.run_to_success("provision-aks-router").await;
    harness.run_to_success("provision-dc").await;
    for machine in [AKS_ROUTER, DC_ROUTER, "worker-1"] {
        let code = harness.run(&["ssh", machine, "hostname"]).await;
        let (_, text) = &harness.outputs[harness.outputs.len() - 2];
        assert_eq!((code, String::from_utf8_lossy(text).trim()), (Some(0), machine), "{}", harness.last_output());
    }
    assert_eq!(harness.run(&["ssh", "worker-1", "sh", "-c", "'exit 7'"]).await, Some(7), "{}", harness.last_output());
    assert_eq!(harness.run(&["ssh", "worker-7"]).await, Some(64));
    let said = harness.last_output();
    assert!(said.contains("no machine \"worker-7\" is registered") && said.contains("stargate ssh worker-"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_looks_at_each_machine_if_asked() {
    let mut harness = Harness::new(&[]).await;
    harness.log = "warn";
    harness.run_to_success("provision-aks-router").await;
    harness.run_to_success("provision-dc").await;
    harness.run_to_success("repave-worker").await;
    let findings = doctor_of_hosts(&mut harness, 0).await;
    let ids: Vec<_> = findings.iter().map(|finding| finding["id"].as_str().unwrap()).collect();
    let expected = [AKS_ROUTER, DC_ROUTER, "worker-1", "worker-2"].map(|name| format!("host {name}"));
    assert_eq!(ids, expected);
    assert!(findings.iter().all(|finding| finding["status"] == "ok"), "{findings:?}");

    expire(&harness.sim, DC_ROUTER, true);
    let findings = doctor_of_hosts(&mut harness, 0).await;
    let router = &findings[1];
    assert_eq!(router["status"], "warning", "{findings:?}");
    assert!(router["message"].as_str().unwrap().contains("the key of its device ends at 20"), "{router}");
}

/// Runs `stargate doctor --hosts` and returns the findings about hosts.
async fn doctor_of_hosts(harness: &mut Harness, code: i32) -> Vec<Value> {
    let ended = harness.run(&["doctor", "sync-pod-routes", "--hosts", "-o", "json"]).await;
    assert_eq!(ended, Some(code), "{}", harness.last_output());
    let (_, text) = &harness.outputs[harness.outputs.len() - 2];
    let findings: Vec<Value> = serde_json::from_slice(text).unwrap();
    findings.into_iter().filter(|finding| finding["id"].as_str().unwrap().starts_with("host ")).collect()
}
