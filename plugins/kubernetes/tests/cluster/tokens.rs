use axum::http::Method;
use serde_json::json;
use stargate_sdk::FailureKind;

use crate::{cluster::Cluster, fake::Fault};

const REFERENCE: &str = "bootstrap-token:node=w1&expiry=1h";
const SECRETS: &str = "/api/v1/namespaces/kube-system/secrets/";

#[tokio::test]
async fn a_token_whose_reply_was_lost_is_replaced_and_another_steps_is_left_alone() {
    let cluster = Cluster::start().await;
    cluster.actions.secret("other", REFERENCE).await.expect("token of another step");
    cluster.fake.fault(Method::POST, Fault::LoseReply);
    let error = cluster.actions.secret("join", REFERENCE).await.expect_err("no reply");
    assert_eq!(error.kind, FailureKind::Unknown);
    let token = cluster.actions.secret("join", REFERENCE).await.expect("token");
    let (id, secret) = token.expose().split_once('.').expect("id.secret");
    let world = cluster.fake.world();
    let stored: Vec<_> = world.objects.iter().filter(|(path, _)| path.starts_with(SECRETS)).collect();
    assert_eq!(stored.len(), 2, "never two tokens of one step");
    let stored = &world.objects[&format!("{SECRETS}bootstrap-token-{id}")];
    assert_eq!(stored["stringData"]["token-secret"], secret);
    assert_eq!(stored["stringData"]["auth-extra-groups"], "system:bootstrappers:stargate");
    assert_eq!(stored["type"], "bootstrap.kubernetes.io/token");
    assert!(!cluster.actions.secrets.redactor().redact(token.expose()).contains(secret));
}

#[tokio::test]
async fn a_secret_of_that_name_that_is_not_ours_is_not_touched() {
    let cluster = Cluster::start().await;
    let token = cluster.actions.secret("join", REFERENCE).await.expect("token");
    let id = token.expose().split('.').next().expect("id").to_owned();
    let path = format!("{SECRETS}bootstrap-token-{id}");
    cluster.fake.world().put(&path, json!({"metadata": {"annotations": {}}}));
    let error = cluster.actions.secret("join", REFERENCE).await.expect_err("not ours");
    assert_eq!(error.kind, FailureKind::Permanent);
    assert!(cluster.fake.world().objects.contains_key(&path));
}
