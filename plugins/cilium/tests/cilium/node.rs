//! `cilium.node.ensure` against a server that holds one `CiliumNode`, and against a real one.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

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
struct World {
    node: Option<Value>,
    /// How often the node is looked for in vain before the agent makes it.
    appears_after: usize,
    /// Who owns the blocks.
    owner: Option<&'static str>,
    writes: Vec<String>,
}

type Fake = Arc<Mutex<World>>;

async fn serve(State(fake): State<Fake>, method: Method, uri: Uri, body: Bytes) -> Response {
    let mut world = fake.lock().expect("no test panics while it holds the world");
    if method == Method::GET {
        if world.node.is_none() && world.appears_after > 0 {
            world.appears_after -= 1;
            if world.appears_after == 0 {
                world.node = Some(json!({"spec": {"ipam": {"pools": {}}}}));
            }
        }
        return match &world.node {
            Some(node) => axum::Json(node.clone()).into_response(),
            None => (StatusCode::NOT_FOUND, axum::Json(json!({"reason": "NotFound"}))).into_response(),
        };
    }
    let query = uri.query().unwrap_or_default().to_owned();
    world.writes.push(query.clone());
    if let Some(owner) = world.owner.filter(|_| query.contains("force=false")) {
        let cause = json!({"reason": "FieldManagerConflict", "field": ".spec.ipam.podCIDRs",
            "message": format!("conflict with \"{owner}\" using cilium.io/v2")});
        let status = json!({"reason": "Conflict", "message": "Apply failed", "details": {"causes": [cause]}});
        return (StatusCode::CONFLICT, axum::Json(status)).into_response();
    }
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    let node = world.node.get_or_insert_with(|| json!({}));
    node["spec"]["ipam"]["podCIDRs"] = body["spec"]["ipam"]["podCIDRs"].clone();
    axum::Json(node.clone()).into_response()
}

async fn start(world: World) -> (Fake, Registry, tempfile::TempDir) {
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
async fn a_node_is_waited_for_and_written_once() {
    let (fake, actions, _dir) = start(World { appears_after: 3, ..World::default() }).await;
    let (output, _) = ensure(&actions).await.expect("ensured");
    assert_eq!(output["pod_cidrs"], json!(["10.244.65.0/24"]));
    let (_, changes) = ensure(&actions).await.expect("in order");
    assert!(changes.is_empty(), "{changes:?}");
    assert_eq!(fake.lock().expect("world").writes, ["fieldManager=stargate&force=false"]);
}

#[tokio::test]
async fn blocks_that_a_person_blanked_are_taken_back() {
    let node = Some(json!({"spec": {"ipam": {"podCIDRs": []}}}));
    let (fake, actions, _dir) = start(World { node, owner: Some("kubectl-patch"), ..World::default() }).await;
    ensure(&actions).await.expect("mended");
    assert_eq!(fake.lock().expect("world").writes.len(), 2, "politely first, then by force");
}

#[tokio::test]
async fn blocks_that_cilium_manages_itself_are_left_to_it() {
    let node = Some(json!({"spec": {"ipam": {"podCIDRs": ["10.0.0.0/24"]}}}));
    let (fake, actions, _dir) = start(World { node, owner: Some("cilium-operator"), ..World::default() }).await;
    let error = ensure(&actions).await.expect_err("Cilium's own");
    assert_eq!((error.kind, error.hint.is_some()), (FailureKind::Permanent, true));
    let world = fake.lock().expect("world");
    assert_eq!(world.writes.len(), 1);
    assert_eq!(world.node.as_ref().expect("node")["spec"]["ipam"]["podCIDRs"], json!(["10.0.0.0/24"]));
}

#[tokio::test]
async fn a_real_server_keeps_the_blocks() {
    let Some(path) = std::env::var_os("STARGATE_TEST_KUBECONFIG") else {
        // Not by `eprintln`, which the test runner keeps to itself as long as tests pass.
        let why = "skipped: a_real_server_keeps_the_blocks: STARGATE_TEST_KUBECONFIG names no kubeconfig";
        writeln!(std::io::stderr(), "{why}").expect("stderr");
        return;
    };
    let actions = server::actions(path.as_ref());
    ensure(&actions).await.expect("the test's CiliumNode w1 is there");
    let (output, changes) = ensure(&actions).await.expect("in order");
    assert_eq!((output["pod_cidrs"].clone(), changes), (json!(["10.244.65.0/24"]), Vec::new()));
}
