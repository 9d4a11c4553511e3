use axum::http::Method;
use serde_json::{Value, json};
use stargate_sdk::{FailureKind, FindResult};

use crate::{cluster::Cluster, fake::ApiFault};

const APPLY: &str = "kubernetes.manifest.apply";
const PATH: &str = "/api/v1/namespaces/kube-system/configmaps/a";

fn manifest() -> Value {
    json!({"manifest": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "kube-system"},
        "data": {"k": "v"}}})
}

#[tokio::test]
async fn a_manifest_is_applied_once() {
    let cluster = Cluster::start().await;
    let (output, changes) = cluster.actions.step(APPLY, manifest()).await.expect("applied");
    assert_eq!((output["objects"][0]["kind"].as_str(), changes.len()), (Some("ConfigMap"), 1));
    cluster.actions.step(APPLY, manifest()).await.expect("unchanged");
    assert_eq!(cluster.fake.state().writes.len(), 1, "a second run makes no write");
    let mut drifted = cluster.fake.state().objects[PATH].clone();
    drifted["data"]["k"] = json!("other");
    cluster.fake.state().put(PATH, drifted);
    cluster.actions.step(APPLY, manifest()).await.expect("applied again");
    assert_eq!(cluster.fake.state().objects[PATH]["data"]["k"], "v");
}

#[tokio::test]
async fn a_kind_is_discovered_once_for_all_objects() {
    let cluster = Cluster::start().await;
    let object =
        |name| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "kube-system"}});
    let manifest = json!({"manifest": [object("a"), object("b"), object("c")]});
    cluster.actions.step(APPLY, manifest.clone()).await.expect("applied");
    cluster.actions.step(APPLY, manifest).await.expect("unchanged");
    assert_eq!(cluster.fake.state().reads.iter().filter(|path| *path == "/api/v1").count(), 1);
}

#[tokio::test]
async fn a_failed_read_of_one_object_is_retried_alone() {
    let cluster = Cluster::start().await;
    cluster.actions.step(APPLY, manifest()).await.expect("applied");
    let busy = |code, reason| ApiFault::Answer(code, json!({"kind": "Status", "reason": reason, "message": "later"}));
    cluster.fake.fault(Method::GET, busy(429, "TooManyRequests"));
    cluster.fake.fault(Method::GET, busy(503, "ServiceUnavailable"));
    let found = cluster.actions.find(APPLY, manifest()).await.expect("found");
    assert!(matches!(found, FindResult::Present(_)), "{found:?}");
    assert_eq!(cluster.fake.state().writes.len(), 1, "only the first run writes");
}

#[tokio::test]
async fn fields_of_other_managers_are_taken_only_after_an_apply_without_force() {
    let cluster = Cluster::start().await;
    let owners = json!({"reason": "Conflict", "message": "Apply failed with 1 conflict", "details": {"causes": [
        {"reason": "FieldManagerConflict", "message": "conflict with \"kubectl\"", "field": ".data.k"}]}});
    cluster.fake.fault(Method::PATCH, ApiFault::Answer(409, owners));
    cluster.actions.step(APPLY, manifest()).await.expect("applied");
    let forced: Vec<_> =
        cluster.fake.state().writes.iter().map(|(request, _)| request.contains("force=true")).collect();
    assert_eq!(forced, [false, true]);
}

#[tokio::test]
async fn secrets_and_unknown_kinds_are_refused() {
    let cluster = Cluster::start().await;
    let object = |kind: &str| json!({"manifest": [{"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}}]});
    let (kind, error) = cluster.fails(APPLY, object("Secret")).await;
    assert_eq!((kind, error.contains("journal")), (FailureKind::Permanent, true), "{error}");
    let (kind, error) = cluster.fails(APPLY, object("Widget")).await;
    assert_eq!((kind, error.contains("no kind Widget")), (FailureKind::Permanent, true), "{error}");
}

#[tokio::test]
async fn a_resumed_deletion_does_not_touch_the_successor() {
    let cluster = Cluster::start().await;
    cluster.fake.state().put("/api/v1/nodes/w1", json!({}));
    let input = json!({"api_version": "v1", "kind": "Node", "name": "w1", "if_exists": true});
    let cx = cluster.actions.context("delete");
    cluster.fake.fault(Method::DELETE, ApiFault::LoseReply);
    let error = cluster.actions.run(&cx, "kubernetes.object.delete", input.clone()).await.expect_err("no reply");
    assert_eq!(error.kind, FailureKind::Unknown);
    cluster.fake.state().put("/api/v1/nodes/w1", json!({"spec": {"podCIDR": "registered again"}}));
    let output = cluster.actions.run(&cx, "kubernetes.object.delete", input).await.expect("deleted");
    assert_eq!(output["deleted"], true);
    assert!(cluster.fake.state().objects.contains_key("/api/v1/nodes/w1"));
}

#[tokio::test]
async fn a_patch_is_applied_once_and_null_removes_a_field() {
    let cluster = Cluster::start().await;
    cluster.fake.state().put(PATH, json!({"data": {"k": "v"}}));
    let input = json!({"api_version": "v1", "kind": "ConfigMap", "namespace": "kube-system", "name": "a",
        "patch": {"data": {"k": null, "n": "1"}}});
    cluster.actions.step("kubernetes.object.patch", input.clone()).await.expect("patched");
    cluster.actions.step("kubernetes.object.patch", input).await.expect("unchanged");
    assert_eq!(cluster.fake.state().objects[PATH]["data"], json!({"n": "1"}));
    assert_eq!(cluster.fake.state().writes.len(), 1);
}

#[tokio::test]
async fn nodes_are_listed_with_the_pod_cidr_in_use() {
    let cluster = Cluster::start().await;
    cluster.fake.state().put("/api/v1/nodes/aks-0", json!({"spec": {"podCIDR": "10.244.9.0/24"}}));
    let joined = json!({"metadata": {"labels": {"kubernetes.azure.com/managed": "false"}}});
    cluster.fake.state().put("/api/v1/nodes/w1", joined);
    let (output, _) = cluster.actions.step("kubernetes.nodes.list", json!({})).await.expect("listed");
    assert_eq!(output["nodes"][0]["pod_cidr"], "10.244.9.0/24");
    assert_eq!((&output["nodes"][0]["managed"], &output["nodes"][1]["managed"]), (&json!(true), &json!(false)));
    assert_eq!(output["nodes"][1]["pod_cidr"], Value::Null);
}
