use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde_json::json;
use stargate_sdk::{ActionError, FailureKind};

use crate::{fake::ResponseFault, tailnet::TestTailnet};

const POST: &str = "POST /device/n1/routes";

async fn with_routes(advertised: &[&str], enabled: &[&str]) -> TestTailnet {
    let tailnet = TestTailnet::start().await;
    let owned = |routes: &[&str]| routes.iter().map(ToString::to_string).collect();
    tailnet.fake.state().advertised = owned(advertised);
    tailnet.fake.state().enabled = owned(enabled);
    tailnet
}

async fn approve(tailnet: &TestTailnet, routes: &[&str], exact: bool) -> Result<serde_json::Value, ActionError> {
    let input = json!({"node_id": "n1", "routes": routes, "exact": exact});
    tailnet.run("tailscale.routes.approve", Duration::from_secs(2), input).await
}

#[tokio::test]
async fn routes_approved_before_stay_approved() {
    let tailnet = with_routes(&["10.1.0.0/16", "10.2.0.0/16"], &["10.9.0.0/16"]).await;
    let output = approve(&tailnet, &["10.1.0.0/16", "10.2.0.0/16"], false).await.expect("approved");
    assert_eq!(output["enabled"], json!(["10.9.0.0/16", "10.1.0.0/16", "10.2.0.0/16"]));
    assert_eq!(tailnet.fake.state().count(POST), 1);
}

#[tokio::test]
async fn exact_withdraws_the_others() {
    let tailnet = with_routes(&["10.1.0.0/16"], &["10.9.0.0/16", "10.1.0.0/16"]).await;
    let output = approve(&tailnet, &["10.1.0.0/16"], true).await.expect("approved");
    assert_eq!(output["enabled"], json!(["10.1.0.0/16"]));
}

#[tokio::test]
async fn a_second_run_writes_nothing() {
    let tailnet = with_routes(&["10.2.0.0/16", "10.1.0.0/16"], &["10.1.0.0/16", "10.2.0.0/16"]).await;
    approve(&tailnet, &["10.2.0.0/16", "10.1.0.0/16"], false).await.expect("unchanged");
    approve(&tailnet, &["10.2.0.0/16", "10.1.0.0/16"], true).await.expect("unchanged");
    assert_eq!(tailnet.fake.state().count(POST), 0);
}

#[tokio::test]
async fn nothing_is_approved_before_it_is_advertised() {
    let tailnet = with_routes(&["10.1.0.0/16"], &[]).await;
    let error = approve(&tailnet, &["10.1.0.0/16", "10.2.0.0/16"], false).await.expect_err("not advertised");
    assert!(error.message.contains("10.2.0.0/16 not advertised yet"), "{error}");
    assert!(error.hint.expect("hint").contains("ssh.tailscale.preferences"));
    assert_eq!(tailnet.fake.state().count(POST), 0);
}

#[tokio::test]
async fn approval_waits_until_the_route_is_advertised() {
    let tailnet = with_routes(&[], &[]).await;
    let advertise = async {
        while tailnet.fake.state().count("GET /device/n1/routes") < 2 {
            tokio::task::yield_now().await;
        }
        tailnet.fake.state().advertised = vec!["10.1.0.0/16".into()];
    };
    let (approved, ()) = tokio::join!(approve(&tailnet, &["10.1.0.0/16"], false), advertise);
    assert_eq!(approved.expect("approved")["enabled"], json!(["10.1.0.0/16"]));
}

#[tokio::test]
async fn host_bits_are_refused_before_any_call() {
    let tailnet = with_routes(&[], &[]).await;
    let error = approve(&tailnet, &["10.1.0.5/16"], false).await.expect_err("host bits");
    assert_eq!(error.kind, FailureKind::Permanent);
    assert_eq!(error.hint.as_deref(), Some("write 10.1.0.0/16"));
    assert!(tailnet.fake.state().requests.is_empty());
}

#[tokio::test]
async fn a_lost_response_to_an_approval_is_unknown_and_the_next_run_writes_nothing() {
    let tailnet = with_routes(&["10.1.0.0/16"], &[]).await;
    tailnet.fake.state().faults.push_back((Method::POST, ResponseFault::LoseResponse));
    let error = approve(&tailnet, &["10.1.0.0/16"], false).await.expect_err("lost response");
    assert_eq!(error.kind, FailureKind::Unknown);
    approve(&tailnet, &["10.1.0.0/16"], false).await.expect("found");
    assert_eq!(tailnet.fake.state().count(POST), 1);
}

#[tokio::test]
async fn the_status_and_the_method_decide_the_kind_of_a_failure() {
    for (method, status, kind) in [
        (Method::POST, 429, FailureKind::Throttled { retry_after: Some(Duration::from_secs(7)) }),
        (Method::GET, 429, FailureKind::Throttled { retry_after: Some(Duration::from_secs(7)) }),
        (Method::POST, 500, FailureKind::Unknown),
        (Method::GET, 500, FailureKind::Transient),
        (Method::GET, 504, FailureKind::Transient),
        (Method::POST, 403, FailureKind::Permanent),
        (Method::GET, 404, FailureKind::Permanent),
    ] {
        let tailnet = with_routes(&["10.1.0.0/16"], &[]).await;
        let fault =
            ResponseFault::Respond(StatusCode::from_u16(status).expect("status"), "7", json!({"message": "no"}));
        tailnet.fake.state().faults.push_back((method.clone(), fault));
        let error = approve(&tailnet, &["10.1.0.0/16"], false).await.expect_err("fault");
        assert_eq!(error.kind, kind, "{method} {status}: {error}");
    }
}

#[tokio::test]
async fn a_refused_connection_is_transient() {
    let tailnet = with_routes(&[], &[]).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let endpoint = format!("http://{}", listener.local_addr().expect("address"));
    drop(listener);
    let error = tailnet.run_at(&endpoint).await.expect_err("refused");
    assert_eq!(error.kind, FailureKind::Transient, "{error}");
}
