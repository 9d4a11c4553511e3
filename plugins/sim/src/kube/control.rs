use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{delete, post};
use axum::{Json, Router};
use serde::Deserialize;

use super::seed::{add_aks_node, remove_node};
use crate::world::Shared;

/// What tests and people do to the cluster from outside.
///
/// - `POST /_world/aks-nodes`, body `{"name","address","pod_cidr"}`: the scale set has grown by a node.
/// - `DELETE /_world/aks-nodes/{name}`: the scale set has shrunk by a node.
/// - `POST /_world/kubernetes/compact`: earlier revisions are forgotten, so that watches from them are `410 Gone`.
pub(crate) fn control(shared: Shared) -> Router {
    Router::new()
        .route("/_world/aks-nodes", post(grow))
        .route("/_world/aks-nodes/{name}", delete(shrink))
        .route("/_world/kubernetes/compact", post(compact))
        .with_state(shared)
}

#[derive(Debug, Deserialize)]
struct NewNode {
    name: String,
    address: String,
    pod_cidr: String,
}

async fn grow(State(shared): State<Shared>, Json(node): Json<NewNode>) -> StatusCode {
    add_aks_node(&mut shared.lock().kube, &node.name, &node.address, &node.pod_cidr);
    StatusCode::CREATED
}

async fn shrink(State(shared): State<Shared>, Path(name): Path<String>) -> StatusCode {
    let is_gone = remove_node(&mut shared.lock().kube, &name);
    if is_gone { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}

async fn compact(State(shared): State<Shared>) -> StatusCode {
    shared.lock().kube.compact();
    StatusCode::NO_CONTENT
}
