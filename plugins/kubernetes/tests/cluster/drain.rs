use std::time::Duration;

use axum::http::Method;
use serde_json::{Value, json};
use stargate_sdk::{FailureKind, LockAttempt, RemoteLockRequest};

use crate::{
    cluster::Cluster,
    fake::ApiFault,
    locks::{request, take},
};

const POD: &str = "/api/v1/namespaces/default/pods/web";

fn pod() -> Value {
    json!({"metadata": {"ownerReferences": [{"kind": "ReplicaSet", "controller": true}]}, "spec": {"nodeName": "w1"}})
}

async fn cordoned() -> Cluster {
    let cluster = Cluster::start().await;
    cluster.fake.state().put("/api/v1/nodes/w1", json!({"spec": {"unschedulable": true}}));
    cluster.fake.state().put(POD, pod());
    cluster
}

fn budget_is_used_up() -> ApiFault {
    ApiFault::Answer(
        429,
        json!({"kind": "Status", "reason": "TooManyRequests", "message": "Cannot evict pod as it would violate the pod's disruption budget.",
            "details": {"causes": [{"reason": "DisruptionBudget", "message": "The disruption budget pdb needs 1 healthy pods and has 1 currently"}]}}),
    )
}

#[tokio::test]
async fn a_used_up_budget_is_waited_for() {
    let cluster = cordoned().await;
    cluster.fake.fault(Method::POST, budget_is_used_up());
    cluster.fake.fault(Method::POST, budget_is_used_up());
    let (output, _) = cluster.actions.step("kubernetes.node.drain", json!({"name": "w1"})).await.expect("drained");
    assert_eq!(output["evicted"], json!(["default/web"]));
    assert_eq!(cluster.fake.state().count("POST"), 3);
}

#[tokio::test]
async fn one_pod_is_evicted_as_its_budget_permits_and_its_successor_is_not() {
    let cluster = cordoned().await;
    let input = || json!({"namespace": "default", "pod": "web"});
    cluster.fake.fault(Method::POST, budget_is_used_up());
    cluster.fake.fault(Method::POST, ApiFault::LoseReply);
    let cx = cluster.actions.context("evict");
    let error = cluster.actions.run(&cx, "kubernetes.pod.evict", input()).await.expect_err("no reply");
    assert_eq!(error.kind, FailureKind::Unknown);
    // The controller has created another pod with the name.
    cluster.fake.state().put(POD, pod());
    let output = cluster.actions.run(&cx, "kubernetes.pod.evict", input()).await.expect("the pod is gone");
    assert_eq!(output["evicted"], json!(true));
    assert_eq!(cluster.fake.state().count("POST"), 2, "refused once, evicted once");
    assert!(cluster.fake.state().objects.contains_key(POD), "the successor exists");
}

#[tokio::test]
async fn a_missing_pod_is_an_error_unless_if_exists_is_set() {
    let cluster = Cluster::start().await;
    let (kind, error) = cluster.fails("kubernetes.pod.evict", json!({"pod": "gone"})).await;
    assert_eq!((kind, error.contains("\"gone\"")), (FailureKind::Permanent, true), "{error}");
    let input = json!({"pod": "gone", "if_exists": true});
    let (output, changes) = cluster.actions.step("kubernetes.pod.evict", input).await.expect("if_exists");
    assert_eq!((output["evicted"].clone(), changes), (json!(false), vec![]));
}

#[tokio::test]
async fn a_timeout_names_the_pod_and_its_budget() {
    let cluster = cordoned().await;
    (0..20).for_each(|_| cluster.fake.fault(Method::POST, budget_is_used_up()));
    let (kind, error) = cluster.fails("kubernetes.node.drain", json!({"name": "w1", "timeout": "1s"})).await;
    assert_eq!(kind, FailureKind::Transient);
    assert!(error.contains("default/web") && error.contains("The disruption budget pdb needs"), "{error}");
}

#[tokio::test]
async fn a_drain_is_resumed_after_a_lost_response_and_reports_all_pods() {
    let cluster = cordoned().await;
    let cx = cluster.actions.context("drain");
    cluster.fake.fault(Method::POST, ApiFault::LoseReply);
    let error = cluster.actions.run(&cx, "kubernetes.node.drain", json!({"name": "w1"})).await.expect_err("no reply");
    assert_eq!(error.kind, FailureKind::Unknown);
    let output = cluster.actions.run(&cx, "kubernetes.node.drain", json!({"name": "w1"})).await.expect("drained");
    assert_eq!(output["evicted"], json!(["default/web"]));
    assert_eq!(cluster.fake.state().count("POST"), 1, "evicted once");
}

#[tokio::test]
async fn a_node_that_is_not_cordoned_or_a_bare_pod_is_refused_before_anything_is_evicted() {
    let cluster = cordoned().await;
    cluster.fake.state().put("/api/v1/namespaces/default/pods/bare", json!({"spec": {"nodeName": "w1"}}));
    let (kind, error) = cluster.fails("kubernetes.node.drain", json!({"name": "w1"})).await;
    assert_eq!((kind, error.contains("default/bare")), (FailureKind::Permanent, true), "{error}");
    cluster.fake.state().put("/api/v1/nodes/w1", json!({}));
    let (kind, error) = cluster.fails("kubernetes.node.drain", json!({"name": "w1", "force": true})).await;
    assert_eq!((kind, error.contains("not cordoned")), (FailureKind::Permanent, true), "{error}");
    assert!(cluster.fake.state().writes.is_empty());
}

/// A kubelet reports the end of a pod's processes before it removes the pod: a kubelet that is
/// stopped in between leaves the pod.
#[tokio::test]
async fn a_terminating_pod_whose_processes_have_ended_is_waited_for() {
    let cluster = cordoned().await;
    let mut ending = pod();
    ending["metadata"]["deletionTimestamp"] = json!("2026-11-24T12:00:00Z");
    ending["status"] = json!({"phase": "Succeeded"});
    cluster.fake.state().put(POD, ending);
    let (kind, error) = cluster.fails("kubernetes.node.drain", json!({"name": "w1", "timeout": "1s"})).await;
    assert_eq!(kind, FailureKind::Transient);
    assert!(error.contains("default/web is still terminating"), "{error}");
    cluster.fake.state().objects.remove(POD);
    let (output, _) = cluster.actions.step("kubernetes.node.drain", json!({"name": "w1"})).await.expect("drained");
    assert_eq!(output["evicted"], json!([]));
}

/// Returns a cordoned node whose kubelet has stopped reporting.
fn silent_node() -> Value {
    let ready = json!({"type": "Ready", "status": "Unknown", "message": "Kubelet stopped posting node status."});
    json!({"spec": {"unschedulable": true}, "status": {"conditions": [ready]}})
}

#[tokio::test]
async fn pods_of_a_silent_kubelet_are_evicted_and_not_waited_for() {
    let cluster = cordoned().await;
    cluster.fake.state().put("/api/v1/nodes/w1", silent_node());
    let mut ending = pod();
    ending["metadata"]["deletionTimestamp"] = json!("2026-11-24T12:00:00Z");
    cluster.fake.state().put("/api/v1/namespaces/default/pods/old", ending);
    let (output, changes) =
        cluster.actions.step("kubernetes.node.drain", json!({"name": "w1"})).await.expect("drained");
    assert_eq!(output["evicted"], json!(["default/old", "default/web"]));
    assert_eq!((output["left"].clone(), changes), (json!(["default/old"]), vec!["- pod default/web".to_owned()]));
}

#[tokio::test]
async fn a_budget_is_respected_for_a_silent_kubelet_which_the_timeout_names() {
    let cluster = cordoned().await;
    cluster.fake.state().put("/api/v1/nodes/w1", silent_node());
    (0..20).for_each(|_| cluster.fake.fault(Method::POST, budget_is_used_up()));
    let cx = cluster.actions.context("drain");
    let input = json!({"name": "w1", "timeout": "1s"});
    let error = cluster.actions.run(&cx, "kubernetes.node.drain", input).await.expect_err("the budget");
    assert!(
        error.message.contains("node \"w1\": its kubelet is down (Kubelet stopped posting node status)"),
        "{error}"
    );
    assert!(error.message.contains("The disruption budget pdb needs"), "{error}");
    assert!(error.hint.expect("hint").contains("sudo systemctl restart kubelet"));
}

#[tokio::test]
async fn a_budget_that_stays_used_up_ends_the_drain_of_a_silent_node_with_its_reasons() {
    let cluster = cordoned().await;
    let mut node = silent_node();
    node["status"]["conditions"][0]["lastTransitionTime"] = json!("2026-11-24T12:00:00Z");
    cluster.fake.state().put("/api/v1/nodes/w1", node);
    (0..40).for_each(|_| cluster.fake.fault(Method::POST, budget_is_used_up()));
    let cx = cluster.actions.context("drain");
    let input = json!({"name": "w1", "timeout": "10m", "silent_timeout": "1s"});
    let error = cluster.actions.run(&cx, "kubernetes.node.drain", input).await.expect_err("the budget");
    assert_eq!(error.kind, FailureKind::Permanent, "a retry would wait again");
    assert_eq!(
        error.message,
        "node \"w1\": its kubelet is down, silent since 2026-11-24T12:00:00Z (Kubelet stopped posting node status): pod \
         default/web: The disruption budget pdb needs 1 healthy pods and has 1 currently; no eviction was accepted for 1 s"
    );
    let hint = error.hint.expect("hint");
    for advice in ["systemctl restart kubelet", "kubectl get pdb -A", "remove-worker", "host_is_gone=true"] {
        assert!(hint.contains(advice), "{advice}: {hint}");
    }
}

#[tokio::test]
async fn a_cordon_that_a_run_has_left_is_named_and_that_of_an_operator_is_not() {
    let cluster = Cluster::start().await;
    let node = |annotations: Value, unschedulable: bool| json!({"metadata": {"annotations": annotations}, "spec": {"unschedulable": unschedulable}});
    let by = |run: &str| json!({"stargate.io/cordoned-by": run});
    let nodes = [
        ("drained", node(by("run-1"), true)),
        ("operator", node(json!({}), true)),
        ("removed", node(by("run-2"), false)),
        ("unchanged", node(json!({"stargate.io/cordoned-by": "run-3", "stargate.io/configuration": "v1"}), true)),
        ("worked-on", node(by("run-4"), true)),
    ];
    for (name, node) in nodes {
        cluster.fake.state().put(&format!("/api/v1/nodes/{name}"), node);
    }
    let lock = |node: &str| format!("worker/prod/{node}");
    let held = RemoteLockRequest { lock: lock("worked-on"), duration: Duration::from_mins(1), ..request("run-4", 1) };
    let ended = RemoteLockRequest { lock: lock("drained"), duration: Duration::from_mins(1), ..request("run-1", 1) };
    for request in [&held, &ended] {
        assert_eq!(take(&cluster.actions, request).await, LockAttempt::Taken);
    }
    let service = cluster.actions.lock_service(&ended.lock);
    service.release(&cluster.actions.context("release"), &ended).await.expect("released");

    let (output, changes) =
        cluster.actions.step("kubernetes.cordons.check", json!({"cluster": "prod"})).await.expect("checked");
    assert_eq!((&output["nodes"], changes), (&json!(["drained", "unchanged"]), vec![]));
    let repave =
        |node: &str| format!("`stargate run workflow repave-worker --input cluster=prod --input worker={node} …`");
    assert_eq!(
        output["warnings"],
        json!([
            format!(
                "node \"drained\" is still cordoned by run run-1, which did not finish; {} completes its host and makes it \
                 schedulable; `kubectl uncordon drained` makes it schedulable as it is",
                repave("drained")
            ),
            format!(
                "node \"unchanged\" is still cordoned by run run-3, which did not finish; its host is unchanged: `kubectl \
                 uncordon unchanged` makes it schedulable, and so does {}",
                repave("unchanged")
            ),
        ])
    );
}

#[tokio::test]
async fn only_a_cordon_of_this_program_is_removed() {
    const NODE: &str = "/api/v1/nodes/w1";
    let cluster = Cluster::start().await;
    let cordon = || json!({"name": "w1"});
    let uncordon = || json!({"name": "w1", "cordoned": false, "managed_only": true});
    let step = async |input| cluster.actions.step("kubernetes.node.cordon", input).await.expect("ensured");
    let node = || cluster.fake.state().objects[NODE].clone();
    let by = || node()["metadata"]["annotations"]["stargate.io/cordoned-by"].clone();

    cluster.fake.state().put(NODE, json!({}));
    step(cordon()).await;
    assert_eq!((node()["spec"]["unschedulable"].clone(), by()), (json!(true), json!("detached")));
    assert_eq!(step(cordon()).await.1, [""; 0]);
    assert_eq!(step(uncordon()).await.0["cordoned"], json!(false));
    assert_eq!((node()["spec"]["unschedulable"].clone(), by()), (Value::Null, Value::Null));

    cluster.fake.state().put(NODE, json!({"spec": {"unschedulable": true}}));
    assert_eq!((step(cordon()).await.1, by()), (vec![], Value::Null), "the other party's cordon");
    let (output, changes) = step(uncordon()).await;
    assert_eq!((output["cordoned"].clone(), changes), (json!(true), vec![]));
    assert_eq!(step(json!({"name": "w1", "cordoned": false})).await.0["cordoned"], json!(false));

    cluster.fake.state().put(NODE, json!({"metadata": {"annotations": {"stargate.io/cordoned-by": "run"}}}));
    assert_eq!(step(uncordon()).await.1.len(), 1);
    assert_eq!(by(), Value::Null, "the record of a cordon that another party has removed");
}
