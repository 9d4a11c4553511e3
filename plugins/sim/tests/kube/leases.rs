use serde_json::{Value, json};

use crate::harness::{Bench, open};

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
const RENEWED: &str = "2026-11-28T15:00:00.123456Z";

fn lease(name: &str, version: &str, spec: &Value) -> Value {
    let mut metadata = json!({ "name": name });
    if !version.is_empty() {
        metadata["resourceVersion"] = json!(version);
    }
    json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec })
}

fn held_by(holder: &str) -> Value {
    json!({ "holderIdentity": holder, "leaseDurationSeconds": 15, "acquireTime": RENEWED, "renewTime": RENEWED, "leaseTransitions": 0 })
}

fn version(lease: &Value) -> String {
    lease["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}

async fn acquire(bench: &Bench) -> Value {
    let (status, held) = bench.admin("POST", LEASES, Some(&lease("l", "", &held_by("one")))).await;
    assert_eq!(status, 201, "{held}");
    held
}

fn assert_conflict(answer: &(u16, Value)) {
    let message = "Operation cannot be fulfilled on leases.coordination.k8s.io \"l\": the object has been modified; \
                   please apply your changes to the latest version and try again";
    assert_eq!(
        (answer.0, answer.1["reason"].as_str(), answer.1["message"].as_str()),
        (409, Some("Conflict"), Some(message))
    );
    assert_eq!(answer.1["details"], json!({ "name": "l", "group": "coordination.k8s.io", "kind": "leases" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_created_once_and_keeps_its_microseconds() {
    let bench = open().await;
    let held = acquire(&bench).await;
    assert_eq!(held["spec"], held_by("one"));
    let (status, refused) = bench.admin("POST", LEASES, Some(&lease("l", "", &held_by("two")))).await;
    assert_eq!((status, &refused["reason"]), (409, &json!("AlreadyExists")));
    assert_eq!(refused["message"], "leases.coordination.k8s.io \"l\" already exists");
    let (_, read) = bench.admin("GET", &format!("{LEASES}/l"), None).await;
    assert_eq!(read["spec"], held_by("one"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_replaced_only_under_its_resource_version() {
    let bench = open().await;
    let first = version(&acquire(&bench).await);
    let path = format!("{LEASES}/l");
    let (status, refused) = bench.admin("PUT", &path, Some(&lease("l", "", &held_by("two")))).await;
    let message = "leases.coordination.k8s.io \"l\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update";
    assert_eq!((status, refused["message"].as_str()), (422, Some(message)));
    let (status, renewed) = bench.admin("PUT", &path, Some(&lease("l", &first, &held_by("two")))).await;
    assert_eq!((status, &renewed["spec"]["holderIdentity"]), (200, &json!("two")));
    assert_conflict(&bench.admin("PUT", &path, Some(&lease("l", &first, &held_by("three")))).await);
    // A missing lease is created, also under a version.
    let (status, created) = bench.admin("PUT", &format!("{LEASES}/m"), Some(&lease("m", "1", &held_by("one")))).await;
    assert_eq!(status, 201, "{created}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_patched_and_deleted_under_its_resource_version() {
    let bench = open().await;
    let first = version(&acquire(&bench).await);
    let path = format!("{LEASES}/l");
    let change = |version: &str, holder: &str| json!({ "metadata": { "resourceVersion": version }, "spec": { "holderIdentity": holder } });
    let merge = "application/merge-patch+json";
    let (status, patched) = bench.ask("PATCH", &path, &bench.token, merge, Some(&change(&first, "two"))).await;
    assert_eq!((status, &patched["spec"]["holderIdentity"]), (200, &json!("two")));
    assert_conflict(&bench.ask("PATCH", &path, &bench.token, merge, Some(&change(&first, "three"))).await);
    let options = |version: &str| json!({ "preconditions": { "resourceVersion": version } });
    let (status, refused) = bench.admin("DELETE", &path, Some(&options(&first))).await;
    let second = version(&patched);
    let message = format!(
        "Operation cannot be fulfilled on Lease.coordination.k8s.io \"l\": the ResourceVersion in the precondition ({first}) does not \
         match the ResourceVersion in record ({second}). The object might have been modified"
    );
    assert_eq!((status, refused["message"].as_str()), (409, Some(message.as_str())));
    assert_eq!(bench.admin("DELETE", &path, Some(&options(&second))).await.0, 200);
    assert_eq!(bench.admin("GET", &path, None).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_numbers_of_a_lease_are_checked() {
    let bench = open().await;
    let spec = json!({ "leaseDurationSeconds": 0, "leaseTransitions": -1 });
    let (status, refused) = bench.admin("POST", LEASES, Some(&lease("l", "", &spec))).await;
    let message = "Lease.coordination.k8s.io \"l\" is invalid: [spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0, \
                   spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0]";
    assert_eq!((status, refused["message"].as_str()), (422, Some(message)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_of_leases_reports_each_renewal() {
    let bench = open().await;
    let held = acquire(&bench).await;
    let first = version(&held);
    let renewed = lease("l", &first, &held_by("two"));
    assert_eq!(bench.admin("PUT", &format!("{LEASES}/l"), Some(&renewed)).await.0, 200);
    assert_eq!(bench.admin("DELETE", &format!("{LEASES}/l"), None).await.0, 200);
    let path = format!("{LEASES}?watch=1&resourceVersion={first}&fieldSelector=metadata.name%3Dl&timeoutSeconds=1");
    let (status, lines) = bench.admin("GET", &path, None).await;
    let events: Vec<Value> = lines.as_str().unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen: Vec<(&str, &str)> = events
        .iter()
        .map(|event| (event["type"].as_str().unwrap(), event["object"]["spec"]["holderIdentity"].as_str().unwrap()))
        .collect();
    assert_eq!((status, seen.as_slice()), (200, [("MODIFIED", "two"), ("DELETED", "two")].as_slice()));
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_are_granted_by_roles() {
    let bench = open().await;
    let token = bench.account("jane").await;
    let body = lease("l", "", &held_by("one"));
    let create = async || bench.ask("POST", LEASES, &token, "application/json", Some(&body)).await;
    let (status, refused) = create().await;
    let message = "leases.coordination.k8s.io is forbidden: User \"system:serviceaccount:default:jane\" cannot create resource \
                   \"leases\" in API group \"coordination.k8s.io\" in the namespace \"default\"";
    assert_eq!((status, refused["message"].as_str()), (403, Some(message)));
    let rule = json!({ "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"] });
    bench.grant("jane", &[rule]).await;
    assert_eq!(create().await.0, 201);
    assert_eq!(bench.ask("GET", &format!("{LEASES}/l"), &token, "", None).await.0, 403);
}
