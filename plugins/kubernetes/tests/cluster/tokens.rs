use axum::http::Method;
use serde_json::json;
use stargate_sdk::FailureKind;

use crate::{cluster::Cluster, fake::ApiFault};

const REFERENCE: &str = "bootstrap-token:node=w1&expiry=1h";
const SECRETS: &str = "/api/v1/namespaces/kube-system/secrets/";

#[tokio::test]
async fn a_lost_token_is_replaced_and_that_of_another_step_is_kept() {
    let cluster = Cluster::start().await;
    cluster.actions.secret("other", REFERENCE).await.expect("token of another step");
    cluster.fake.fault(Method::POST, ApiFault::LoseReply);
    let error = cluster.actions.secret("join", REFERENCE).await.expect_err("no reply");
    assert_eq!(error.kind, FailureKind::Unknown);
    let token = cluster.actions.secret("join", REFERENCE).await.expect("token");
    let (id, secret) = token.expose().split_once('.').expect("id.secret");
    let world = cluster.fake.state();
    let stored: Vec<_> = world.objects.iter().filter(|(path, _)| path.starts_with(SECRETS)).collect();
    assert_eq!(stored.len(), 2, "never two tokens of one step");
    let stored = &world.objects[&format!("{SECRETS}bootstrap-token-{id}")];
    assert_eq!(stored["stringData"]["token-secret"], secret);
    assert_eq!(stored["stringData"]["auth-extra-groups"], "system:bootstrappers:stargate");
    assert_eq!(stored["type"], "bootstrap.kubernetes.io/token");
    assert!(!cluster.actions.secrets.redactor().redact(token.expose()).contains(secret));
}

#[tokio::test]
async fn a_secret_with_the_name_that_is_not_managed_is_not_touched() {
    let cluster = Cluster::start().await;
    let token = cluster.actions.secret("join", REFERENCE).await.expect("token");
    let id = token.expose().split('.').next().expect("id").to_owned();
    let path = format!("{SECRETS}bootstrap-token-{id}");
    cluster.fake.state().put(&path, json!({"metadata": {"annotations": {}}}));
    let error = cluster.actions.secret("join", REFERENCE).await.expect_err("not managed");
    assert_eq!(error.kind, FailureKind::Permanent);
    assert!(cluster.fake.state().objects.contains_key(&path));
}
