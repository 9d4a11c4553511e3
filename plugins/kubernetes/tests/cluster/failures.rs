use axum::http::Method;
use serde_json::json;
use stargate_sdk::FailureKind;

use crate::{
    cluster::{Actions, Cluster, kubeconfig},
    fake::ApiFault,
};

#[tokio::test]
async fn an_unreachable_server_is_transient_even_for_a_write() {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("kubeconfig");
    std::fs::write(&path, kubeconfig("http://127.0.0.1:1").to_string()).expect("kubeconfig");
    let actions = Actions::new(&path);
    let error = actions.secret("s", "service-account-token:namespace=a&name=b").await.expect_err("refused");
    assert_eq!(error.kind, FailureKind::Transient, "{error}");
}

#[tokio::test]
async fn a_missing_kubeconfig_has_a_hint() {
    let actions = Actions::new("/nonexistent/kubeconfig".as_ref());
    let error = actions.step("kubernetes.nodes.list", json!({})).await.expect_err("no kubeconfig");
    assert_eq!(error.kind, FailureKind::Permanent);
    assert!(error.hint.is_some_and(|hint| hint.contains("--kubeconfig")));
}

#[tokio::test]
async fn each_failure_of_a_write_has_its_kind() {
    let cluster = Cluster::start().await;
    cluster.fake.state().put("/api/v1/nodes/w1", json!({}));
    let cordon = json!({"name": "w1"});
    for (code, kind) in [(409, FailureKind::Transient), (503, FailureKind::Unknown), (403, FailureKind::Permanent)] {
        cluster.fake.fault(Method::PATCH, ApiFault::Answer(code, json!({"reason": "Conflict", "message": "no"})));
        assert_eq!(cluster.fails("kubernetes.node.cordon", cordon.clone()).await.0, kind, "{code}");
    }
    cluster.fake.fault(Method::PATCH, ApiFault::LoseReply);
    assert_eq!(cluster.fails("kubernetes.node.cordon", cordon.clone()).await.0, FailureKind::Unknown);
    let (output, changes) = cluster.actions.step("kubernetes.node.cordon", cordon).await.expect("cordoned");
    assert_eq!((output["cordoned"].as_bool(), changes.len()), (Some(true), 0), "the lost write is found");
}
