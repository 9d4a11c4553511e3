use std::path::Path;

use axum::http::Method;
use futures::future::join_all;
use serde_json::{Value, json};
use stargate_sdk::FailureKind;

use crate::{
    cluster::{Cluster, until},
    fake::ApiFault,
};

const NODE: &str = "/api/v1/nodes/w1";

/// User whose login program writes a line to the file `calls` each time, and then runs a script.
fn user(directory: &Path, script: &str) -> Value {
    let script = format!("DIRECTORY={}; echo $$ >>$DIRECTORY/calls; {script}", directory.display());
    json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", script],
        "interactiveMode": "IfAvailable"}})
}

async fn start(script: &str) -> Cluster {
    let cluster = Cluster::start_as(|directory| user(directory, script)).await;
    cluster.fake.state().put(NODE, json!({}));
    cluster
}

/// Process ids of the login programs so far.
fn calls(cluster: &Cluster) -> Vec<String> {
    let calls = std::fs::read_to_string(cluster.directory().join("calls")).unwrap_or_default();
    calls.lines().map(str::to_owned).collect()
}

fn is_gone(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

fn get() -> Value {
    json!({"api_version": "v1", "kind": "Node", "name": "w1"})
}

const TOKEN: &str = r#"echo '{"status": {"token": "issued-token"}}'"#;

#[tokio::test]
async fn steps_share_one_login() {
    // The program waits until a file exists, so that all steps wait for it.
    let cluster = start(&format!("until [ -e $DIRECTORY/go ]; do sleep 0.01; done; {TOKEN}")).await;
    let steps = join_all((0..8).map(|_| cluster.actions.step("kubernetes.nodes.list", json!({}))));
    let go = async {
        until(|| !calls(&cluster).is_empty()).await;
        std::fs::write(cluster.directory().join("go"), "").expect("written");
    };
    let (results, ()) = tokio::join!(steps, go);
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(calls(&cluster).len(), 1);
    assert_eq!(cluster.actions.secrets.redactor().redact("issued-token"), "***");
}

#[tokio::test]
async fn a_login_that_hangs_ends_with_its_last_step() {
    let cluster = start("sleep 600 & echo $! >&2; wait").await;
    let step = async |timeout| {
        let cx = cluster.actions.context("step").with_timeout(std::time::Duration::from_millis(timeout));
        cluster.actions.run(&cx, "kubernetes.nodes.list", json!({})).await.expect_err("the timeout")
    };
    let (first, second) = tokio::join!(step(50), step(100));
    for error in [first, second] {
        assert!(error.message.ends_with("no response within the step's timeout"), "{error}");
    }
    let calls = calls(&cluster);
    assert_eq!(calls.len(), 1, "the second step waited for the same program");
    until(|| calls.iter().all(|pid| is_gone(pid))).await;
}

#[tokio::test]
async fn a_failed_login_is_shared_and_then_tried_again() {
    let cluster = start(&format!("[ -e $DIRECTORY/fixed ] || exit 3; {TOKEN}")).await;
    let (kind, message) = cluster.fails("kubernetes.nodes.list", json!({})).await;
    assert_eq!(kind, FailureKind::Permanent, "it has never succeeded");
    assert!(message.contains("login program \"sh\" of the kubeconfig ended with exit code 3"), "{message}");
    std::fs::write(cluster.directory().join("fixed"), "").expect("written");
    cluster.actions.step("kubernetes.nodes.list", json!({})).await.expect("logged in");
    assert_eq!(calls(&cluster).len(), 2);
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let cluster = start(TOKEN).await;
    cluster.actions.step("kubernetes.nodes.list", json!({})).await.expect("logged in");
    let refuse = || cluster.fake.fault(Method::GET, ApiFault::Answer(401, json!({"reason": "Unauthorized"})));
    refuse();
    cluster.actions.step("kubernetes.nodes.list", json!({})).await.expect("logged in again");
    assert_eq!(calls(&cluster).len(), 2);
    refuse();
    refuse();
    assert_eq!(cluster.fails("kubernetes.nodes.list", json!({})).await.0, FailureKind::Permanent);
    assert_eq!(calls(&cluster).len(), 3);
}

#[tokio::test]
async fn an_expired_token_is_replaced_before_it_is_sent() {
    let expired = r#"echo '{"status": {"token": "issued-token", "expirationTimestamp": "2020-01-01T00:00:00Z"}}'"#;
    let cluster = start(expired).await;
    cluster.actions.step("kubernetes.nodes.list", json!({})).await.expect("logged in");
    let before = calls(&cluster).len();
    cluster.actions.step("kubernetes.nodes.list", json!({})).await.expect("logged in again");
    assert!(calls(&cluster).len() > before);
}

#[tokio::test]
async fn a_token_of_the_kubeconfig_is_redacted_when_the_server_returns_it() {
    let cluster = Cluster::start_as(|_| json!({"token": "kubeconfig-token"})).await;
    let refusal = json!({"reason": "Forbidden", "message": "you sent kubeconfig-token"});
    cluster.fake.fault(Method::GET, ApiFault::Answer(403, refusal));
    let (_, message) = cluster.fails("kubernetes.nodes.list", json!({})).await;
    assert!(message.contains("you sent ***"), "{message}");
}

#[tokio::test]
async fn mistakes_of_a_kubeconfig_do_not_show_it() {
    for user in
        [json!("planted-token"), json!({"token": ["planted-token"]}), json!({"client-key-data": "planted-token"})]
    {
        let cluster = Cluster::start_as(|_| user).await;
        let (kind, message) = cluster.fails("kubernetes.object.get", get()).await;
        assert_eq!(kind, FailureKind::Permanent, "{message}");
        assert!(message.contains("cannot use the kubeconfig") && !message.contains("planted"), "{message}");
    }
}
