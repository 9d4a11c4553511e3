use std::time::Duration;

use serde_json::json;

use crate::tailnet::TestTailnet;

const APPROVE: &str = "tailscale.routes.approve";

fn input() -> serde_json::Value {
    json!({"node_id": "n1", "routes": []})
}

#[tokio::test]
async fn concurrent_requests_share_one_token() {
    let tailnet = TestTailnet::start().await;
    let runs = (0..8).map(|_| tailnet.run(APPROVE, Duration::from_secs(20), input()));
    futures::future::try_join_all(runs).await.expect("unchanged");
    assert_eq!(tailnet.fake.state().tokens, 1);
}

#[tokio::test]
async fn an_expired_token_is_replaced() {
    let tailnet = TestTailnet::start().await;
    tailnet.fake.state().token_lifetime = 0;
    for _ in 0..2 {
        tailnet.run(APPROVE, Duration::from_secs(20), input()).await.expect("unchanged");
    }
    assert_eq!(tailnet.fake.state().tokens, 2);
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let tailnet = TestTailnet::start().await;
    tailnet.run(APPROVE, Duration::from_secs(20), input()).await.expect("unchanged");
    tailnet.fake.state().tokens += 1; // The server no longer accepts the token that it issued.
    tailnet.run(APPROVE, Duration::from_secs(20), input()).await.expect("unchanged");
    assert_eq!(tailnet.fake.state().count("POST /oauth/token"), 2);
}

#[tokio::test]
async fn token_and_client_secret_are_redacted() {
    let tailnet = TestTailnet::start().await;
    tailnet.run(APPROVE, Duration::from_secs(20), input()).await.expect("unchanged");
    let redactor = tailnet.secrets.redactor();
    assert_eq!(redactor.redact("access-token-1 hunter2-hunter2"), "*** ***");
}
