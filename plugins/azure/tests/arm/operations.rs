use serde_json::{Value, json};
use stargate_sdk::FailureKind;

use crate::fake::{FakeArm, FakeResponse, OperationStyle, TestAttempt, id};

const TABLE: &str = "azure.route_table.ensure";

fn input() -> Value {
    json!({"resource_group": "g", "name": "t", "location": "westeurope"})
}

fn table() -> String {
    id("Network/routeTables/t")
}

fn checkpoint(url: &str) -> Value {
    json!({"version": 1, "operation": {"kind": "status", "url": url, "resource": table()}})
}

async fn run_with(style: OperationStyle) -> FakeArm {
    let arm = FakeArm::start().await;
    arm.style(style);
    let step = TestAttempt::first(&arm);
    let output = step.run(TABLE, input()).await.expect("created");
    assert_eq!(output, json!({"id": table(), "name": "t"}));
    assert_eq!(arm.puts().len(), 1, "{style:?}");
    assert_eq!(arm.resource(&table())["properties"]["provisioningState"], "Succeeded", "{style:?}");
    arm
}

#[tokio::test]
async fn a_synchronous_write_stores_no_checkpoint() {
    let arm = FakeArm::start().await;
    let step = TestAttempt::first(&arm);
    step.run(TABLE, input()).await.expect("created");
    assert_eq!(step.last_checkpoint(), None);
    assert_eq!(arm.puts()[0].header("if-none-match"), Some("*"));
}

#[tokio::test]
async fn an_operation_is_polled_at_the_unchanged_status_url() {
    let arm = run_with(OperationStyle::Status).await;
    let polls: Vec<_> = arm.seen().into_iter().filter(|seen| seen.is("GET", "/operations/1")).collect();
    assert_eq!(polls.len(), 3);
    assert!(polls.iter().all(|poll| poll.query == "t=1&c=A%2BB&s=x_-~&h=%3D%3d"), "{polls:?}");
}

#[tokio::test]
async fn an_operation_is_polled_at_its_location() {
    let arm = run_with(OperationStyle::Location).await;
    assert_eq!(arm.seen().iter().filter(|seen| seen.is("GET", "/operations/1")).count(), 3);
}

#[tokio::test]
async fn without_a_header_the_resource_itself_is_polled() {
    let arm = run_with(OperationStyle::Resource).await;
    assert!(!arm.seen().iter().any(|seen| seen.is("GET", "/operations/1")));
}

#[tokio::test]
async fn the_next_attempt_continues_the_operation_of_an_interrupted_one() {
    let arm = FakeArm::start().await;
    arm.style(OperationStyle::Status);
    let first = TestAttempt::first(&arm).interrupted_at_checkpoint();
    let error = first.run(TABLE, input()).await.expect_err("interrupted");
    assert_eq!(error.kind, FailureKind::Transient);
    assert!(!arm.seen().iter().any(|seen| seen.is("GET", "/operations/1")), "stored before the first poll");

    let output = first.next().run(TABLE, input()).await.expect("continued");
    assert_eq!(output["name"], "t");
    assert_eq!(arm.puts().len(), 1, "one write in both attempts");
    assert!(arm.seen().iter().any(|seen| seen.is("GET", "/operations/1")));
}

#[tokio::test]
async fn an_accepted_write_whose_operation_cannot_be_stored_is_unknown() {
    let arm = FakeArm::start().await;
    arm.style(OperationStyle::Status);
    let error = TestAttempt::first(&arm).refusing_checkpoints().run(TABLE, input()).await.expect_err("not stored");
    assert_eq!(error.kind, FailureKind::Unknown);
}

#[tokio::test]
async fn instead_of_an_unknown_operation_the_resource_is_polled() {
    let arm = FakeArm::start().await;
    arm.set(&table(), json!({"location": "westeurope", "properties": {"provisioningState": "Updating"}}));
    let mut reads = 0;
    arm.hook(move |seen| {
        let body = |state: &str| json!({"id": table(), "name": "t", "location": "westeurope", "properties": {"provisioningState": state}});
        if seen.path == "/operations/gone" {
            return Some(FakeResponse::error(404, "NotFound", "The operation has expired."));
        }
        reads += 1;
        Some(FakeResponse::new(200, body(if reads < 3 { "Updating" } else { "Succeeded" })))
    });
    let step = TestAttempt::first(&arm).with_checkpoint(checkpoint(&format!("{}/operations/gone", arm.base())));
    step.run(TABLE, input()).await.expect("unchanged");
    assert!(arm.puts().is_empty());
}

#[tokio::test]
async fn a_failed_operation_has_arms_message_and_leaves_the_checkpoint() {
    let arm = FakeArm::start().await;
    arm.style(OperationStyle::Status);
    arm.hook(|seen| {
        let error = json!({"code": "SubnetLimit", "message": "There are too many.", "details": []});
        seen.is("GET", "/operations/1").then(|| FakeResponse::new(200, json!({"status": "Failed", "error": error})))
    });
    let step = TestAttempt::first(&arm);
    let error = step.run(TABLE, input()).await.expect_err("failed");
    assert_eq!((error.kind, error.code.as_deref()), (FailureKind::Permanent, Some("SubnetLimit")));
    assert_eq!(error.message, "route table \"t\": There are too many");
    assert_eq!(step.last_checkpoint(), Some(Value::Null));
}

#[tokio::test]
async fn an_operation_that_failed_because_of_another_one_is_transient() {
    let arm = FakeArm::start().await;
    arm.style(OperationStyle::Status);
    arm.hook(|seen| {
        let error = json!({"code": "RetryableError", "message": "A retryable error occurred."});
        seen.is("GET", "/operations/1").then(|| FakeResponse::new(200, json!({"status": "Failed", "error": error})))
    });
    let error = TestAttempt::first(&arm).run(TABLE, input()).await.expect_err("failed");
    assert_eq!(error.kind, FailureKind::Transient);
}

#[tokio::test]
async fn an_unreadable_status_is_read_again() {
    let arm = FakeArm::start().await;
    arm.style(OperationStyle::Status);
    let mut broken = vec![
        FakeResponse::error(429, "TooManyRequests", "Slow down.").header("retry-after", "0"),
        FakeResponse::new(503, Value::Null),
        FakeResponse::new(500, Value::Null),
    ];
    arm.hook(move |seen| if seen.is("GET", "/operations/1") { broken.pop() } else { None });
    TestAttempt::first(&arm).run(TABLE, input()).await.expect("created");
    assert_eq!(arm.puts().len(), 1);
}

#[tokio::test]
async fn a_status_that_stays_unreadable_is_polled_by_a_later_attempt() {
    let arm = FakeArm::start().await;
    arm.style(OperationStyle::Status);
    arm.hook(|seen| seen.is("GET", "/operations/1").then(|| FakeResponse::error(403, "AuthorizationFailed", "No.")));
    let step = TestAttempt::first(&arm);
    let error = step.run(TABLE, input()).await.expect_err("unreadable");
    assert_eq!(error.kind, FailureKind::Transient);
    assert_ne!(step.last_checkpoint(), Some(Value::Null), "the operation is still known");
}

#[tokio::test]
async fn an_operation_url_of_another_host_gets_no_token() {
    let (arm, stranger) = (FakeArm::start().await, FakeArm::start().await);
    let url = format!("{}/operations/1", stranger.base());
    let step = TestAttempt::first(&arm).with_checkpoint(checkpoint(&url));
    let error = step.run(TABLE, input()).await.expect_err("refused");
    assert_eq!(error.kind, FailureKind::Permanent);
    assert!(stranger.seen().is_empty());
}

#[tokio::test]
async fn an_operation_of_another_client_is_awaited_before_comparing() {
    let arm = FakeArm::start().await;
    let mut reads = 0;
    arm.hook(move |seen| {
        reads += 1;
        let state = if reads < 3 { "Updating" } else { "Succeeded" };
        seen.is("GET", "/t").then(|| FakeResponse::new(200, json!({"id": table(), "name": "t", "location": "westeurope", "properties": {"provisioningState": state}})))
    });
    TestAttempt::first(&arm).run(TABLE, input()).await.expect("unchanged");
    assert_eq!((arm.seen().len(), arm.puts().len()), (3, 0));
}
