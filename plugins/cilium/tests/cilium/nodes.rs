//! `cilium.nodes.ensure` against a server that holds a cluster's `CiliumNode`s and lists them in
//! pages.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{Method, Uri},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use stargate_sdk::{ActionContext, Registry, Secrets};

use crate::server;

#[derive(Default)]
struct NodesState {
    /// Pod CIDRs by the name of the node.
    blocks: BTreeMap<String, Vec<String>>,
    reads: usize,
    writes: Vec<String>,
}

type SharedNodes = Arc<Mutex<NodesState>>;

fn object(name: &str, blocks: &[String]) -> Value {
    json!({"metadata": {"name": name}, "spec": {"ipam": {"podCIDRs": blocks}}})
}

async fn serve(State(fake): State<SharedNodes>, method: Method, uri: Uri, body: Bytes) -> Response {
    let mut state = fake.lock().expect("no test panics while it holds the state");
    if method == Method::GET {
        state.reads += 1;
        return page(&state, uri.query().unwrap_or_default()).into_response();
    }
    let name = uri.path().rsplit('/').next().expect("a path").replace("%2D", "-");
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    let blocks: Vec<String> = serde_json::from_value(body["spec"]["ipam"]["podCIDRs"].clone()).expect("blocks");
    state.writes.push(name.clone());
    let answer = object(&name, &blocks);
    state.blocks.insert(name, blocks);
    axum::Json(answer).into_response()
}

fn page(state: &NodesState, query: &str) -> axum::Json<Value> {
    let number = |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)?.parse::<usize>().ok());
    let (from, limit) = (number("continue=").unwrap_or(0), number("limit=").expect("a limit"));
    let items: Vec<_> = state.blocks.iter().skip(from).take(limit).map(|(name, b)| object(name, b)).collect();
    let next = if from + limit < state.blocks.len() { (from + limit).to_string() } else { String::new() };
    axum::Json(json!({"metadata": {"continue": next}, "items": items}))
}

async fn start(world: NodesState) -> (SharedNodes, Registry, tempfile::TempDir) {
    let fake = Arc::new(Mutex::new(world));
    let (actions, dir) = server::serve(Router::new().fallback(serve).with_state(Arc::clone(&fake))).await;
    (fake, actions, dir)
}

async fn ensure(actions: &Registry, nodes: &Value) -> (Value, usize) {
    let cx = ActionContext::detached("cilium", Arc::new(Secrets::default()));
    let action = actions.find("cilium.nodes.ensure").expect("action");
    let output = action.run(&cx, json!({ "nodes": nodes })).await.expect("ensured");
    (output, cx.changes().len())
}

fn block(node: usize) -> String {
    format!("10.{}.{}.0/24", 100 + node / 256, node % 256)
}

#[tokio::test]
async fn a_thousand_nodes_are_read_in_pages_and_only_the_differing_ones_written() {
    let mut blocks: BTreeMap<_, _> = (0..1000).map(|node| (format!("w{node:04}"), vec![block(node)])).collect();
    blocks.insert("w0007".into(), Vec::new());
    blocks.insert("w0999".into(), vec!["10.9.9.0/24".into()]);
    let (fake, actions, _dir) = start(NodesState { blocks, ..NodesState::default() }).await;
    let desired: Value =
        (0..1001).map(|node| json!({"name": format!("w{node:04}"), "pod_cidrs": [block(node)]})).collect();
    let (output, changes) = ensure(&actions, &desired).await;
    assert_eq!((output, changes), (json!({"missing": ["w1000"], "count": 1000}), 2));
    let mut written = std::mem::take(&mut fake.lock().expect("state").writes);
    written.sort();
    assert_eq!(written, ["w0007", "w0999"]);
    fake.lock().expect("state").reads = 0;
    ensure(&actions, &desired).await;
    let state = fake.lock().expect("state");
    assert_eq!((state.reads, state.writes.len()), (2, 0), "two pages, and no write");
}
