//! `cilium.node.ensure` against a server that holds one `CiliumNode`, and against a real one.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use stargate_sdk::{ActionContext, ActionError, FailureKind, Registry, Secrets};

use crate::server;

const ENSURE: &str = "cilium.node.ensure";

#[derive(Default)]
struct NodeState {
    node: Option<Value>,
    /// Number of reads before the agent creates the object; 0 if it does not.
    appears_after: usize,
    /// Field manager that owns the pod CIDRs.
    owner: Option<&'static str>,
    writes: Vec<String>,
}

type SharedNode = Arc<Mutex<NodeState>>;

async fn serve(State(fake): State<SharedNode>, method: Method, uri: Uri, body: Bytes) -> Response {
    let mut state = fake.lock().expect("no test panics while it holds the state");
    if method == Method::GET {
        if state.node.is_none() && state.appears_after > 0 {
            state.appears_after -= 1;
            if state.appears_after == 0 {
                state.node = Some(json!({"spec": {"ipam": {"pools": {}}}}));
            }
        }
        return match &state.node {
            Some(node) => axum::Json(node.clone()).into_response(),
            None => (StatusCode::NOT_FOUND, axum::Json(json!({"reason": "NotFound"}))).into_response(),
        };
    }
    let query = uri.query().unwrap_or_default().to_owned();
    state.writes.push(query.clone());
    if let Some(owner) = state.owner.filter(|_| query.contains("force=false")) {
        let cause = json!({"reason": "FieldManagerConflict", "field": ".spec.ipam.podCIDRs",
            "message": format!("conflict with \"{owner}\" using cilium.io/v2")});
        let status = json!({"reason": "Conflict", "message": "Apply failed", "details": {"causes": [cause]}});
        return (StatusCode::CONFLICT, axum::Json(status)).into_response();
    }
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    let node = state.node.get_or_insert_with(|| json!({}));
    node["spec"]["ipam"]["podCIDRs"] = body["spec"]["ipam"]["podCIDRs"].clone();
    axum::Json(node.clone()).into_response()
}

async fn start(world: NodeState) -> (SharedNode, Registry, tempfile::TempDir) {
    let fake = Arc::new(Mutex::new(world));
    let (actions, dir) = server::serve(Router::new().fallback(serve).with_state(Arc::clone(&fake))).await;
    (fake, actions, dir)
}

async fn ensure(actions: &Registry) -> Result<(Value, Vec<String>), ActionError> {
    let cx = ActionContext::detached("cilium", Arc::new(Secrets::default()));
    let input = json!({"name": "w1", "pod_cidrs": ["10.244.65.0/24"]});
    let output = actions.find(ENSURE).expect("action").run(&cx, input).await?;
    Ok((output, cx.changes()))
}

#[tokio::test]
async fn an_object_is_awaited_and_written_once() {
    let (fake, actions, _dir) = start(NodeState { appears_after: 3, ..NodeState::default() }).await;
    let (output, _) = ensure(&actions).await.expect("ensured");
    assert_eq!(output["pod_cidrs"], json!(["10.244.65.0/24"]));
    let (_, changes) = ensure(&actions).await.expect("unchanged");
    assert!(changes.is_empty(), "{changes:?}");
    assert_eq!(fake.lock().expect("state").writes, ["fieldManager=stargate&force=false"]);
}

#[tokio::test]
async fn pod_cidrs_of_another_manager_are_taken_over() {
    let node = Some(json!({"spec": {"ipam": {"podCIDRs": []}}}));
    let (fake, actions, _dir) = start(NodeState { node, owner: Some("kubectl-patch"), ..NodeState::default() }).await;
    ensure(&actions).await.expect("ensured");
    assert_eq!(fake.lock().expect("state").writes.len(), 2, "without force first");
}

#[tokio::test]
async fn pod_cidrs_that_cilium_owns_are_not_changed() {
    let node = Some(json!({"spec": {"ipam": {"podCIDRs": ["10.0.0.0/24"]}}}));
    let (fake, actions, _dir) = start(NodeState { node, owner: Some("cilium-operator"), ..NodeState::default() }).await;
    let error = ensure(&actions).await.expect_err("owned by Cilium");
    assert_eq!((error.kind, error.hint.is_some()), (FailureKind::Permanent, true));
    let state = fake.lock().expect("state");
    assert_eq!(state.writes.len(), 1);
    assert_eq!(state.node.as_ref().expect("node")["spec"]["ipam"]["podCIDRs"], json!(["10.0.0.0/24"]));
}

#[tokio::test]
#[ignore = "needs an API server: run tests/rig/kube-tests.sh"]
async fn a_real_server_keeps_the_pod_cidrs() {
    let path = std::env::var_os("STARGATE_TEST_KUBECONFIG");
    let path = path.expect("STARGATE_TEST_KUBECONFIG names a kubeconfig: run tests/rig/kube-tests.sh");
    let actions = server::actions(path.as_ref());
    ensure(&actions).await.expect("the test's CiliumNode w1 is there");
    let (output, changes) = ensure(&actions).await.expect("unchanged");
    assert_eq!((output["pod_cidrs"].clone(), changes), (json!(["10.244.65.0/24"]), Vec::new()));
}
