use axum::http::Method;
use serde_json::{Value, json};
use stargate_sdk::{FailureKind, FindResult};

use crate::{cluster::Cluster, fake::ApiFault};

const APPLY: &str = "kubernetes.manifest.apply";

fn widget() -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": {"size": 1}})
}

fn definition() -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Cluster", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": true, "storage": true}]}})
}

#[tokio::test]
async fn a_kind_and_its_objects_are_applied_in_one_step_in_any_order() {
    let cluster = Cluster::start().await;
    cluster.fake.state().unserved = 2;
    let manifest = json!({"manifest": [widget(), definition()]});
    let (output, changes) = cluster.actions.step(APPLY, manifest.clone()).await.expect("applied");
    let kinds = [&output["objects"][0]["kind"], &output["objects"][1]["kind"]];
    assert_eq!(kinds, ["Widget", "CustomResourceDefinition"], "in the manifest's order");
    assert_eq!(changes, ["+ CustomResourceDefinition widgets.example.com", "+ Widget a"]);
    cluster.actions.step(APPLY, manifest.clone()).await.expect("unchanged");
    assert_eq!(cluster.fake.state().writes.len(), 2, "a second run makes no write");
    let found = cluster.actions.find(APPLY, manifest).await.expect("found");
    assert!(matches!(found, FindResult::Present(_)), "{found:?}");
}

#[tokio::test]
async fn an_api_server_that_lags_behind_another_is_waited_for() {
    let cluster = Cluster::start().await;
    cluster.actions.step(APPLY, json!({"manifest": definition()})).await.expect("defined");
    cluster.fake.fault(Method::PATCH, ApiFault::Answer(404, json!("404 page not found")));
    let manifest = json!({"manifest": [definition(), widget()]});
    let (_, changes) = cluster.actions.step(APPLY, manifest).await.expect("applied");
    assert_eq!(changes, ["+ Widget a"]);
}

#[tokio::test]
async fn a_kind_that_the_manifest_does_not_define_is_not_waited_for() {
    let cluster = Cluster::start().await;
    let mut other = widget();
    other["apiVersion"] = json!("example.com/v2");
    let (kind, error) = cluster.fails(APPLY, json!({"manifest": [definition(), other]})).await;
    assert_eq!((kind, error.contains("no kind Widget in example.com/v2")), (FailureKind::Permanent, true), "{error}");
}

#[tokio::test]
async fn a_preview_includes_objects_of_kinds_that_the_manifest_defines() {
    let cluster = Cluster::start().await;
    let preview = cluster.actions.preview(APPLY, json!({"manifest": [definition(), widget()]})).await.expect("preview");
    let text = format!("{preview:?}");
    assert!(text.contains("CustomResourceDefinition widgets.example.com") && text.contains("Widget a"), "{text}");
    assert!(cluster.fake.state().writes.is_empty());
}

#[tokio::test]
async fn a_definition_whose_names_are_taken_is_not_waited_for() {
    let cluster = Cluster::start().await;
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com";
    let refused = json!({"type": "NamesAccepted", "status": "False", "message": "\"widgets\" is already in use"});
    cluster.fake.state().put(path, json!({"status": {"conditions": [refused]}}));
    cluster.fake.state().unserved = usize::MAX;
    let (kind, error) = cluster.fails(APPLY, json!({"manifest": definition()})).await;
    assert_eq!((kind, error.contains("already in use")), (FailureKind::Permanent, true), "{error}");
}
