use axum::http::Method;
use serde_json::{Value, json};
use stargate_sdk::{FailureKind, FindResult};

use crate::{cluster::Cluster, fake::Fault};

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
    cluster.actions.step(APPLY, manifest()).await.expect("in order");
    assert_eq!(cluster.fake.world().writes.len(), 1, "a second run makes no write");
    let mut drifted = cluster.fake.world().objects[PATH].clone();
    drifted["data"]["k"] = json!("other");
    cluster.fake.world().put(PATH, drifted);
    cluster.actions.step(APPLY, manifest()).await.expect("mended");
    assert_eq!(cluster.fake.world().objects[PATH]["data"]["k"], "v");
}

#[tokio::test]
async fn a_kind_is_looked_up_once_however_many_objects_there_are() {
    let cluster = Cluster::start().await;
    let object =
        |name| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "kube-system"}});
    let manifest = json!({"manifest": [object("a"), object("b"), object("c")]});
    cluster.actions.step(APPLY, manifest.clone()).await.expect("applied");
    cluster.actions.step(APPLY, manifest).await.expect("in order");
    assert_eq!(cluster.fake.world().reads.iter().filter(|path| *path == "/api/v1").count(), 1);
}

#[tokio::test]
async fn a_look_at_a_manifest_that_is_in_order_is_not_begun_anew_for_an_answer_that_failed() {
    let cluster = Cluster::start().await;
    cluster.actions.step(APPLY, manifest()).await.expect("applied");
    let busy = |code, reason| Fault::Answer(code, json!({"kind": "Status", "reason": reason, "message": "later"}));
    cluster.fake.fault(Method::GET, busy(429, "TooManyRequests"));
    cluster.fake.fault(Method::GET, busy(503, "ServiceUnavailable"));
    let found = cluster.actions.find(APPLY, manifest()).await.expect("found");
    assert!(matches!(found, FindResult::Present(_)), "{found:?}");
    assert_eq!(cluster.fake.world().writes.len(), 1, "nothing was written but at first");
}

#[tokio::test]
async fn fields_of_others_are_taken_over_only_after_a_polite_try() {
    let cluster = Cluster::start().await;
    let owners = json!({"reason": "Conflict", "message": "Apply failed with 1 conflict", "details": {"causes": [
        {"reason": "FieldManagerConflict", "message": "conflict with \"kubectl\"", "field": ".data.k"}]}});
    cluster.fake.fault(Method::PATCH, Fault::Answer(409, owners));
    cluster.actions.step(APPLY, manifest()).await.expect("applied");
    let forced: Vec<_> =
        cluster.fake.world().writes.iter().map(|(request, _)| request.contains("force=true")).collect();
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
async fn a_deletion_that_goes_on_spares_the_successor() {
    let cluster = Cluster::start().await;
    cluster.fake.world().put("/api/v1/nodes/w1", json!({}));
    let input = json!({"api_version": "v1", "kind": "Node", "name": "w1", "if_exists": true});
    let cx = cluster.actions.context("delete");
    cluster.fake.fault(Method::DELETE, Fault::LoseReply);
    let error = cluster.actions.run(&cx, "kubernetes.object.delete", input.clone()).await.expect_err("no reply");
    assert_eq!(error.kind, FailureKind::Unknown);
    cluster.fake.world().put("/api/v1/nodes/w1", json!({"spec": {"podCIDR": "registered again"}}));
    let output = cluster.actions.run(&cx, "kubernetes.object.delete", input).await.expect("deleted");
    assert_eq!(output["deleted"], true);
    assert!(cluster.fake.world().objects.contains_key("/api/v1/nodes/w1"));
}

#[tokio::test]
async fn a_patch_is_made_once_and_null_removes() {
    let cluster = Cluster::start().await;
    cluster.fake.world().put(PATH, json!({"data": {"k": "v"}}));
    let input = json!({"api_version": "v1", "kind": "ConfigMap", "namespace": "kube-system", "name": "a",
        "patch": {"data": {"k": null, "n": "1"}}});
    cluster.actions.step("kubernetes.object.patch", input.clone()).await.expect("patched");
    cluster.actions.step("kubernetes.object.patch", input).await.expect("in order");
    assert_eq!(cluster.fake.world().objects[PATH]["data"], json!({"n": "1"}));
    assert_eq!(cluster.fake.world().writes.len(), 1);
}

#[tokio::test]
async fn nodes_tell_the_block_that_is_really_theirs() {
    let cluster = Cluster::start().await;
    cluster.fake.world().put("/api/v1/nodes/aks-0", json!({"spec": {"podCIDR": "10.244.9.0/24"}}));
    let ours = json!({"metadata": {"labels": {"kubernetes.azure.com/managed": "false"}}});
    cluster.fake.world().put("/api/v1/nodes/w1", ours);
    let (output, _) = cluster.actions.step("kubernetes.nodes.list", json!({})).await.expect("listed");
    assert_eq!(output["nodes"][0]["pod_cidr"], "10.244.9.0/24");
    assert_eq!((&output["nodes"][0]["managed"], &output["nodes"][1]["managed"]), (&json!(true), &json!(false)));
    assert_eq!(output["nodes"][1]["pod_cidr"], Value::Null);
}
