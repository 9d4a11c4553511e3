use serde_json::{Value, json};
use stargate_sdk::FailureKind;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::fake::{FakeArm, FakeResponse, TestAttempt, id};

const TABLE: &str = "azure.route_table.ensure";

fn input() -> Value {
    json!({"resource_group": "g", "name": "t", "location": "westeurope"})
}

async fn error_of(answer: FakeResponse) -> (FailureKind, Option<String>, usize) {
    let arm = FakeArm::start().await;
    arm.hook(move |seen| seen.is("PUT", "/t").then(|| answer.clone()));
    let error = TestAttempt::first(&arm).run(TABLE, input()).await.expect_err("refused");
    (error.kind, error.code, arm.puts().len())
}

#[tokio::test]
async fn a_throttled_write_returns_arms_retry_after_and_is_not_sent_again() {
    let answer = FakeResponse::error(429, "RetryableError", "Cannot proceed.").header("retry-after", "7");
    let (kind, code, puts) = error_of(answer).await;
    assert_eq!(kind, FailureKind::Throttled { retry_after: Some(Duration::from_secs(7)) });
    assert_eq!((code.as_deref(), puts), (Some("RetryableError"), 1));
}

#[tokio::test]
async fn a_server_error_on_a_write_is_unknown_and_not_sent_again() {
    let (kind, _, puts) = error_of(FakeResponse::error(500, "InternalServerError", "Oops.")).await;
    assert_eq!((kind, puts), (FailureKind::Unknown, 1));
}

#[tokio::test]
async fn a_conflict_with_another_operation_is_transient() {
    let (kind, ..) = error_of(FakeResponse::error(409, "AnotherOperationInProgress", "Another operation.")).await;
    assert_eq!(kind, FailureKind::Transient);
}

#[tokio::test]
async fn each_request_has_its_own_id_an_api_version_and_the_token() {
    let arm = FakeArm::start().await;
    TestAttempt::first(&arm).run(TABLE, input()).await.expect("created");
    let seen = arm.seen();
    assert!(seen.iter().all(|seen| seen.query == "api-version=2024-01-01"), "{seen:?}");
    assert!(seen.iter().all(|seen| seen.header("authorization") == Some("Bearer arm-token-0123456789")));
    let mut ids: Vec<_> = seen.iter().map(|seen| seen.header("x-ms-client-request-id").expect("an id")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), seen.len());
}

#[tokio::test]
async fn a_write_after_a_foreign_change_fails_and_the_next_attempt_reads_again() {
    let arm = FakeArm::start().await;
    let subnet = id("Network/virtualNetworks/vn/subnets/s");
    arm.set(&subnet, json!({"properties": {"provisioningState": "Succeeded", "addressPrefix": "10.0.0.0/24"}}));
    let input = json!({"resource_group": "g", "virtual_network": "vn", "subnet": "s", "route_table_id": id("Network/routeTables/t")});
    let mut first = true;
    arm.hook(move |seen| {
        let refuse = seen.is("PUT", "/s") && std::mem::take(&mut first);
        refuse.then(|| FakeResponse::error(412, "PreconditionFailed", "Etag does not match."))
    });
    let step = TestAttempt::first(&arm);
    let error = step.run("azure.subnet.associate", input.clone()).await.expect_err("changed");
    assert_eq!(error.kind, FailureKind::Transient);
    step.next().run("azure.subnet.associate", input).await.expect("read again");
    assert_eq!(arm.puts()[1].header("if-match"), Some("W/\"100\""));
}

#[tokio::test]
async fn an_expired_token_is_refreshed_once_even_for_a_write() {
    let arm = FakeArm::start().await;
    let dir = tempfile::tempdir().expect("directory");
    let file = dir.path().join("token");
    std::fs::write(&file, "old-token-0123456789").expect("written");
    let renewed = file.clone();
    arm.hook(move |seen| {
        let old = seen.header("authorization") == Some("Bearer old-token-0123456789");
        if old && seen.method == "PUT" {
            std::fs::write(&renewed, "new-token-0123456789").expect("written");
            return Some(FakeResponse::error(401, "ExpiredAuthenticationToken", "The access token has expired."));
        }
        None
    });
    let step = TestAttempt::with_token(&arm.base(), &format!("file:{}", file.display()));
    step.run(TABLE, input()).await.expect("created with the new token");
    assert_eq!(arm.puts().len(), 2);
}

#[tokio::test]
async fn concurrent_requests_share_one_token() {
    let arm = FakeArm::start().await;
    let dir = tempfile::tempdir().expect("directory");
    let log = dir.path().join("log");
    let step =
        TestAttempt::with_token(&arm.base(), &format!("exec:echo x >> {}; echo arm-token-0123456789", log.display()));
    let tables = (0..8).map(|n| {
        let input = json!({"resource_group": "g", "name": format!("t{n}"), "location": "westeurope"});
        let step = step.clone();
        async move { step.run(TABLE, input).await }
    });
    futures::future::try_join_all(tables).await.expect("all created");
    assert_eq!(std::fs::read_to_string(log).expect("the command ran"), "x\n");
}

#[tokio::test]
async fn a_refused_token_is_a_permanent_error_that_does_not_show_it() {
    let arm = FakeArm::start().await;
    arm.hook(|_| Some(FakeResponse::error(401, "InvalidAuthenticationToken", "arm-token-0123456789 is not valid.")));
    let error = TestAttempt::first(&arm).run(TABLE, input()).await.expect_err("refused");
    assert_eq!(error.kind, FailureKind::Permanent);
    assert!(!error.to_string().contains("0123456789") && error.hint.is_some(), "{error}");
    assert_eq!(arm.seen().len(), 1, "the same token is not sent twice");
}

#[tokio::test]
async fn a_name_that_would_change_the_path_is_refused_before_any_request() {
    let arm = FakeArm::start().await;
    let step = TestAttempt::first(&arm);
    for (group, name) in [("../../x", "t"), ("g", "../../../../providers/X"), ("g/x", "t"), ("g", "t?x=1"), ("g", "")] {
        let input = json!({"resource_group": group, "name": name, "location": "westeurope"});
        let error = step.run(TABLE, input).await.expect_err("refused");
        assert_eq!(error.kind, FailureKind::Permanent);
    }
    assert!(arm.seen().is_empty());
}

#[tokio::test]
async fn a_refused_connection_is_transient() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let error = TestAttempt::with_token(&endpoint, "exec:echo arm-token-0123456789")
        .run(TABLE, input())
        .await
        .expect_err("refused");
    assert_eq!(error.kind, FailureKind::Transient);
    assert!(error.message.contains("cannot connect to 127.0.0.1"), "{error}");
}

/// Answers a GET with 404 and closes the connection after reading any other request.
async fn hang_up_on_writes(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut request = vec![0; 64 * 1024];
        let read = stream.read(&mut request).await.expect("readable");
        if request[..read].starts_with(b"GET") {
            let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
            stream.write_all(answer).await.expect("writable");
        }
    }
}

#[tokio::test]
async fn a_lost_response_to_a_write_is_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(hang_up_on_writes(listener));
    let error = TestAttempt::with_token(&endpoint, "exec:echo arm-token-0123456789")
        .run(TABLE, input())
        .await
        .expect_err("lost");
    assert_eq!(error.kind, FailureKind::Unknown, "{error}");
}
