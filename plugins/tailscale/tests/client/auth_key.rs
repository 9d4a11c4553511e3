use axum::http::Method;
use serde_json::json;
use stargate_sdk::FailureKind;

use crate::{fake::Fault, tailnet::Tailnet};

#[tokio::test]
async fn a_key_is_good_for_one_tagged_preauthorised_device() {
    let tailnet = Tailnet::start().await;
    let key = tailnet.key("vm").await.expect("key");
    assert!(key.expose().starts_with("tskey-auth-"));
    let body = tailnet.fake.world().bodies[0].clone();
    let create = json!({"reusable": false, "ephemeral": false, "preauthorized": true, "tags": ["tag:a", "tag:b"]});
    assert_eq!(body["capabilities"]["devices"]["create"], create);
    assert_eq!(body["expirySeconds"], 3600);
    assert_eq!(tailnet.secrets.redactor().redact(key.expose()), "***");
}

#[tokio::test]
async fn a_key_whose_reply_was_lost_is_replaced_and_another_steps_key_is_left_alone() {
    let tailnet = Tailnet::start().await;
    tailnet.key("other").await.expect("key of another step");
    tailnet.fake.world().faults.push_back((Method::POST, Fault::LoseReply));
    let error = tailnet.key("vm").await.expect_err("no reply");
    assert_eq!(error.kind, FailureKind::Unknown);
    assert_eq!(tailnet.fake.world().keys.len(), 2, "the key was made all the same");
    let lost = tailnet.fake.world().keys[1]["id"].clone();

    tailnet.key("vm").await.expect("key");
    let world = tailnet.fake.world();
    assert_eq!(world.keys.len(), 2, "never two keys of one step");
    assert!(world.keys.iter().all(|key| key["id"] != lost));
}

#[tokio::test]
async fn a_key_that_is_used_up_is_not_touched() {
    let tailnet = Tailnet::start().await;
    tailnet.key("vm").await.expect("key");
    tailnet.fake.world().keys[0]["invalid"] = json!(true);
    tailnet.key("vm").await.expect("key");
    assert_eq!(tailnet.fake.world().keys.len(), 2);
}

#[tokio::test]
async fn a_server_that_cannot_list_keys_still_mints_them() {
    let tailnet = Tailnet::start().await;
    tailnet.fake.world().lists_keys = false;
    tailnet.key("vm").await.expect("key");
    assert!(tailnet.told().contains("does not list keys"), "{}", tailnet.told());
}
