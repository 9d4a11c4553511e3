use serde_json::{Value, json};
use stargate_sim::kube::kubelet_stopped;

use crate::harness::{Bench, open};

const PODS: &str = "/api/v1/namespaces/default/pods";
const NODES: [&str; 2] = ["aks-nodepool1-41954725-vmss000000", "aks-nodepool1-41954725-vmss000001"];

/// Creates two pods that a budget selects, and stops the kubelet of the second.
async fn prepare(bench: &Bench, budget: &Value) {
    let mut spec = budget.clone();
    spec["selector"] = json!({ "matchLabels": { "app": "a" } });
    let budget = json!({ "metadata": { "name": "b" }, "spec": spec });
    let path = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    assert_eq!(bench.admin("POST", path, Some(&budget)).await.0, 201);
    for (name, node) in [("ready", NODES[0]), ("unready", NODES[1])] {
        let containers = json!([{ "name": "c", "image": "i:1" }]);
        let pod = json!({ "metadata": { "name": name, "labels": { "app": "a" } }, "spec": { "nodeName": node, "containers": containers } });
        assert_eq!(bench.admin("POST", PODS, Some(&pod)).await.0, 201);
    }
    kubelet_stopped(&mut bench.sim.shared().lock().kube, NODES[1]);
    for (name, expected) in [("ready", "True"), ("unready", "False")] {
        let (_, pod) = bench.admin("GET", &format!("{PODS}/{name}"), None).await;
        let conditions = pod["status"]["conditions"].as_array().unwrap();
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready").unwrap();
        assert_eq!((&pod["status"]["phase"], &ready["status"]), (&json!("Running"), &json!(expected)), "{name}");
    }
}

async fn evict(bench: &Bench, name: &str) -> (u16, Value) {
    let eviction =
        json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": name, "namespace": "default" } });
    bench.admin("POST", &format!("{PODS}/{name}/eviction"), Some(&eviction)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unready_pod_is_evicted_while_its_budget_has_its_healthy_pods() {
    let bench = open().await;
    prepare(&bench, &json!({ "minAvailable": 1 })).await;
    let (status, refused) = evict(&bench, "ready").await;
    assert_eq!(status, 429);
    let cause = &refused["details"]["causes"][0]["message"];
    assert_eq!(cause, "The disruption budget b needs 1 healthy pods and has 1 currently");
    let (status, evicted) = evict(&bench, "unready").await;
    assert_eq!(status, 201, "{evicted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unready_pod_of_a_disrupted_budget_stays_unless_the_policy_always_allows() {
    for (policy, expected) in [("IfHealthyBudget", 429), ("AlwaysAllow", 201)] {
        let bench = open().await;
        prepare(&bench, &json!({ "minAvailable": 2, "unhealthyPodEvictionPolicy": policy })).await;
        assert_eq!(evict(&bench, "unready").await.0, expected, "{policy}");
    }
}
