use serde_json::{Value, json};
use stargate_sdk::FailureKind;

use crate::fake::{Answer, Arm, Attempt, Style, id};

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

async fn runs_through(style: Style) -> Arm {
    let arm = Arm::start().await;
    arm.style(style);
    let step = Attempt::first(&arm);
    let output = step.run(TABLE, input()).await.expect("made");
    assert_eq!(output, json!({"id": table(), "name": "t"}));
    assert_eq!(arm.puts().len(), 1, "{style:?}");
    assert_eq!(arm.resource(&table())["properties"]["provisioningState"], "Succeeded", "{style:?}");
    arm
}

#[tokio::test]
async fn a_synchronous_write_is_done_at_once_and_stores_nothing() {
    let arm = Arm::start().await;
    let step = Attempt::first(&arm);
    step.run(TABLE, input()).await.expect("made");
    assert_eq!(step.last_checkpoint(), None);
    assert_eq!(arm.puts()[0].header("if-none-match"), Some("*"));
}

#[tokio::test]
async fn an_operation_is_followed_by_its_status_at_the_url_as_it_was_given() {
    let arm = runs_through(Style::Status).await;
    let polls: Vec<_> = arm.seen().into_iter().filter(|seen| seen.is("GET", "/operations/1")).collect();
    assert_eq!(polls.len(), 3);
    assert!(polls.iter().all(|poll| poll.query == "t=1&c=A%2BB&s=x_-~&h=%3D%3d"), "{polls:?}");
}

#[tokio::test]
async fn an_operation_is_followed_by_its_location() {
    let arm = runs_through(Style::Location).await;
    assert_eq!(arm.seen().iter().filter(|seen| seen.is("GET", "/operations/1")).count(), 3);
}

#[tokio::test]
async fn without_a_header_the_resource_itself_is_followed() {
    let arm = runs_through(Style::Resource).await;
    assert!(!arm.seen().iter().any(|seen| seen.is("GET", "/operations/1")));
}

#[tokio::test]
async fn an_interrupted_attempt_leaves_its_operation_and_the_next_one_goes_on_with_it() {
    let arm = Arm::start().await;
    arm.style(Style::Status);
    let first = Attempt::first(&arm).interrupted_at_checkpoint();
    let error = first.run(TABLE, input()).await.expect_err("interrupted");
    assert_eq!(error.kind, FailureKind::Transient);
    assert!(!arm.seen().iter().any(|seen| seen.is("GET", "/operations/1")), "stored before the first look");

    let output = first.next().run(TABLE, input()).await.expect("gone on with");
    assert_eq!(output["name"], "t");
    assert_eq!(arm.puts().len(), 1, "one write in both attempts");
    assert!(arm.seen().iter().any(|seen| seen.is("GET", "/operations/1")));
}

#[tokio::test]
async fn a_write_that_was_accepted_but_could_not_be_recorded_is_unknown() {
    let arm = Arm::start().await;
    arm.style(Style::Status);
    let error = Attempt::first(&arm).refusing_checkpoints().run(TABLE, input()).await.expect_err("not recorded");
    assert_eq!(error.kind, FailureKind::Unknown);
}

#[tokio::test]
async fn when_an_operation_is_forgotten_the_resource_is_the_truth() {
    let arm = Arm::start().await;
    arm.set(&table(), json!({"location": "westeurope", "properties": {"provisioningState": "Updating"}}));
    let mut looks = 0;
    arm.hook(move |seen| {
        let body = |state: &str| json!({"id": table(), "name": "t", "location": "westeurope", "properties": {"provisioningState": state}});
        if seen.path == "/operations/gone" {
            return Some(Answer::error(404, "NotFound", "The operation has expired."));
        }
        looks += 1;
        Some(Answer::new(200, body(if looks < 3 { "Updating" } else { "Succeeded" })))
    });
    let step = Attempt::first(&arm).with_checkpoint(checkpoint(&format!("{}/operations/gone", arm.base())));
    step.run(TABLE, input()).await.expect("in order");
    assert!(arm.puts().is_empty());
}

#[tokio::test]
async fn a_failed_operation_tells_arms_words_and_is_forgotten() {
    let arm = Arm::start().await;
    arm.style(Style::Status);
    arm.hook(|seen| {
        let error = json!({"code": "SubnetLimit", "message": "There are too many.", "details": []});
        seen.is("GET", "/operations/1").then(|| Answer::new(200, json!({"status": "Failed", "error": error})))
    });
    let step = Attempt::first(&arm);
    let error = step.run(TABLE, input()).await.expect_err("failed");
    assert_eq!((error.kind, error.code.as_deref()), (FailureKind::Permanent, Some("SubnetLimit")));
    assert_eq!(error.message, "route table \"t\": There are too many");
    assert_eq!(step.last_checkpoint(), Some(Value::Null));
}

#[tokio::test]
async fn an_operation_that_failed_over_another_one_may_be_tried_again() {
    let arm = Arm::start().await;
    arm.style(Style::Status);
    arm.hook(|seen| {
        let error = json!({"code": "RetryableError", "message": "A retryable error occurred."});
        seen.is("GET", "/operations/1").then(|| Answer::new(200, json!({"status": "Failed", "error": error})))
    });
    let error = Attempt::first(&arm).run(TABLE, input()).await.expect_err("failed");
    assert_eq!(error.kind, FailureKind::Transient);
}

#[tokio::test]
async fn a_status_that_cannot_be_read_says_nothing_about_the_operation() {
    let arm = Arm::start().await;
    arm.style(Style::Status);
    let mut broken = vec![
        Answer::error(429, "TooManyRequests", "Slow down.").header("retry-after", "0"),
        Answer::new(503, Value::Null),
        Answer::new(500, Value::Null),
    ];
    arm.hook(move |seen| if seen.is("GET", "/operations/1") { broken.pop() } else { None });
    Attempt::first(&arm).run(TABLE, input()).await.expect("made all the same");
    assert_eq!(arm.puts().len(), 1);
}

#[tokio::test]
async fn a_status_that_stays_unreadable_is_left_to_a_later_attempt() {
    let arm = Arm::start().await;
    arm.style(Style::Status);
    arm.hook(|seen| seen.is("GET", "/operations/1").then(|| Answer::error(403, "AuthorizationFailed", "No.")));
    let step = Attempt::first(&arm);
    let error = step.run(TABLE, input()).await.expect_err("unreadable");
    assert_eq!(error.kind, FailureKind::Transient);
    assert_ne!(step.last_checkpoint(), Some(Value::Null), "the operation is still known");
}

#[tokio::test]
async fn an_operation_url_of_another_host_gets_no_token() {
    let (arm, stranger) = (Arm::start().await, Arm::start().await);
    let url = format!("{}/operations/1", stranger.base());
    let step = Attempt::first(&arm).with_checkpoint(checkpoint(&url));
    let error = step.run(TABLE, input()).await.expect_err("refused");
    assert_eq!(error.kind, FailureKind::Permanent);
    assert!(stranger.seen().is_empty());
}

#[tokio::test]
async fn somebody_elses_operation_is_waited_for_before_comparing() {
    let arm = Arm::start().await;
    let mut looks = 0;
    arm.hook(move |seen| {
        looks += 1;
        let state = if looks < 3 { "Updating" } else { "Succeeded" };
        seen.is("GET", "/t").then(|| Answer::new(200, json!({"id": table(), "name": "t", "location": "westeurope", "properties": {"provisioningState": state}})))
    });
    Attempt::first(&arm).run(TABLE, input()).await.expect("in order");
    assert_eq!((arm.seen().len(), arm.puts().len()), (3, 0));
}
