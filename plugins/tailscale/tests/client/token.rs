use std::time::Duration;

use serde_json::json;

use crate::tailnet::Tailnet;

const APPROVE: &str = "tailscale.routes.approve";

fn input() -> serde_json::Value {
    json!({"node_id": "n1", "routes": []})
}

#[tokio::test]
async fn one_token_serves_all_calls_even_those_that_come_at_once() {
    let tailnet = Tailnet::start().await;
    let runs = (0..8).map(|_| tailnet.run(APPROVE, Duration::from_secs(20), input()));
    futures::future::try_join_all(runs).await.expect("in order");
    assert_eq!(tailnet.fake.world().tokens, 1);
}

#[tokio::test]
async fn a_token_that_ends_is_renewed() {
    let tailnet = Tailnet::start().await;
    tailnet.fake.world().token_life = 0;
    for _ in 0..2 {
        tailnet.run(APPROVE, Duration::from_secs(20), input()).await.expect("in order");
    }
    assert_eq!(tailnet.fake.world().tokens, 2);
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_once() {
    let tailnet = Tailnet::start().await;
    tailnet.run(APPROVE, Duration::from_secs(20), input()).await.expect("in order");
    tailnet.fake.world().tokens += 1; // The server no longer knows the one it gave out.
    tailnet.run(APPROVE, Duration::from_secs(20), input()).await.expect("in order");
    assert_eq!(tailnet.fake.world().count("POST /oauth/token"), 2);
}

#[tokio::test]
async fn neither_token_nor_client_secret_is_ever_shown() {
    let tailnet = Tailnet::start().await;
    tailnet.run(APPROVE, Duration::from_secs(20), input()).await.expect("in order");
    let redactor = tailnet.secrets.redactor();
    assert_eq!(redactor.redact("access-token-1 hunter2-hunter2"), "*** ***");
}
