use axum::http::Method;
use serde_json::json;
use stargate_sdk::FailureKind;

use crate::{fake::ResponseFault, tailnet::TestTailnet};

#[tokio::test]
async fn a_key_admits_one_tagged_preauthorised_device() {
    let tailnet = TestTailnet::start().await;
    let key = tailnet.key("vm").await.expect("key");
    assert!(key.expose().starts_with("tskey-auth-"));
    let body = tailnet.fake.state().bodies[0].clone();
    let create = json!({"reusable": false, "ephemeral": false, "preauthorized": true, "tags": ["tag:a", "tag:b"]});
    assert_eq!(body["capabilities"]["devices"]["create"], create);
    assert_eq!(body["expirySeconds"], 3600);
    assert_eq!(tailnet.secrets.redactor().redact(key.expose()), "***");
}

#[tokio::test]
async fn a_key_whose_response_was_lost_is_replaced_and_another_steps_key_is_kept() {
    let tailnet = TestTailnet::start().await;
    tailnet.key("other").await.expect("key of another step");
    tailnet.fake.state().faults.push_back((Method::POST, ResponseFault::LoseResponse));
    let error = tailnet.key("vm").await.expect_err("lost response");
    assert_eq!(error.kind, FailureKind::Unknown);
    assert_eq!(tailnet.fake.state().keys.len(), 2, "the server created the key");
    let lost = tailnet.fake.state().keys[1]["id"].clone();

    tailnet.key("vm").await.expect("key");
    let state = tailnet.fake.state();
    assert_eq!(state.keys.len(), 2, "one key per step");
    assert!(state.keys.iter().all(|key| key["id"] != lost));
}

#[tokio::test]
async fn a_used_key_is_not_deleted() {
    let tailnet = TestTailnet::start().await;
    tailnet.key("vm").await.expect("key");
    tailnet.fake.state().keys[0]["invalid"] = json!(true);
    tailnet.key("vm").await.expect("key");
    assert_eq!(tailnet.fake.state().keys.len(), 2);
}

#[tokio::test]
async fn a_server_that_cannot_list_keys_still_mints_them() {
    let tailnet = TestTailnet::start().await;
    tailnet.fake.state().lists_keys = false;
    tailnet.key("vm").await.expect("key");
    assert!(tailnet.messages().contains("does not list keys"), "{}", tailnet.messages());
}
