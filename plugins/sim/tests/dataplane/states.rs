use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::bench::open;

/// Broken state: the change that causes it, the change that repairs it, and the pairs of nodes
/// whose pods do not reach each other meanwhile.
#[derive(Debug, Deserialize)]
struct State {
    name: String,
    #[serde(rename = "break")]
    broken_by: Vec<Value>,
    mend: Vec<Value>,
    dead: BTreeSet<(String, String)>,
}

/// Names of the states' subnets and tables in this deployment.
fn here(drift: &Value) -> Value {
    let mut drift = drift.clone();
    for (key, names) in [
        ("subnet", [("aks-subnet", "aks-subnet"), ("routers", "router-subnet"), ("machines", "dc-subnet")]),
        (
            "table",
            [
                ("hand-workers-rt", "aks-subnet-rt"),
                ("hand-router-rt", "router-subnet-rt"),
                ("hand-dc-rt", "dc-subnet-rt"),
            ],
        ),
    ] {
        let known = names.iter().find(|(theirs, _)| drift[key] == *theirs);
        if let Some((_, ours)) = known {
            drift[key] = json!(ours);
        }
    }
    drift
}

#[tokio::test(flavor = "multi_thread")]
async fn every_broken_state_kills_exactly_the_pairs_that_it_must() {
    all_kill(include_str!("broken-states.json")).await;
}

/// These are the simulated world's alone: where machines are real, there are no security groups.
#[tokio::test(flavor = "multi_thread")]
async fn every_broken_security_group_kills_exactly_the_pairs_that_it_must() {
    all_kill(include_str!("broken-groups.json")).await;
}

async fn all_kill(states: &str) {
    let states: Vec<State> = serde_json::from_str(states).unwrap();
    let bench = open().await;
    bench.pods().await;
    let green = BTreeSet::new();
    bench.until_dead(&green, "the whole deployment").await;
    let before = bench.sim.shared().peek().traffic.mutating();
    for state in &states {
        for drift in &state.broken_by {
            bench.drift(&here(drift)).await;
        }
        bench.until_dead(&state.dead, &state.name).await;
        for drift in &state.mend {
            bench.drift(&here(drift)).await;
        }
        bench.until_dead(&green, &format!("mended: {}", state.name)).await;
    }
    assert_eq!(bench.sim.shared().peek().traffic.mutating(), before, "what others do is not counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_of_what_is_not_there_is_refused() {
    let bench = open().await;
    for drift in [
        json!({ "kind": "nic_forwarding", "machine": "nobody" }),
        json!({ "kind": "kernel_forwarding", "host": "nobody" }),
        json!({ "kind": "mss_clamp", "host": "nobody" }),
        json!({ "kind": "forward_policy", "host": "nobody" }),
        json!({ "kind": "stateful_filtering", "router": "nobody" }),
        json!({ "kind": "advertisement", "router": "nobody", "prefix": "10.0.0.0/8" }),
        json!({ "kind": "approval", "router": "nobody", "prefix": "10.0.0.0/8" }),
        json!({ "kind": "route", "subnet": "aks-subnet", "prefix": "10.9.9.0/24" }),
        json!({ "kind": "association", "subnet": "nowhere" }),
        json!({ "kind": "pod_cidr", "node": "nobody" }),
    ] {
        let url = format!("{}/_world/drift", bench.sim.http_url());
        let response =
            reqwest::Client::new().post(url).bearer_auth(bench.sim.control_token()).json(&drift).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 404, "{drift}");
    }
    let url = format!("{}/_world/drift", bench.sim.http_url());
    let response = reqwest::Client::new()
        .post(url)
        .bearer_auth(bench.sim.control_token())
        .json(&json!({ "kind": "gravity" }))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status().as_u16(), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cilium_node_is_blanked_and_a_kernels_setting_leaves_its_file_alone() {
    let bench = open().await;
    let cidrs = |bench: &crate::bench::DataplaneBench| {
        let state = serde_json::to_value(&*bench.sim.shared().peek()).unwrap();
        state["kube"]["objects"]["ciliumnodes.cilium.io"]["worker-1"]["spec"]["ipam"]["podCIDRs"].clone()
    };
    bench.drift(&json!({ "kind": "pod_cidr", "node": "worker-1", "prefix": "10.244.64.0/24" })).await;
    assert_eq!(cidrs(&bench), json!(["10.244.64.0/24"]));
    bench.drift(&json!({ "kind": "pod_cidr", "node": "worker-1" })).await;
    assert_eq!(cidrs(&bench), json!([]));
    let files =
        |bench: &crate::bench::DataplaneBench| bench.sim.shared().peek().hosts.machines["dc-router"].files.clone();
    let before = files(&bench);
    bench.drift(&json!({ "kind": "kernel_forwarding", "host": "dc-router" })).await;
    assert!(!bench.sim.shared().peek().hosts.machines["dc-router"].forwards());
    assert_eq!(files(&bench), before);
}
