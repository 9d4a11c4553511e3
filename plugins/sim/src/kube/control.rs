use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, post};
use axum::{Json, Router};
use serde::Deserialize;

use super::seed::{AksNode, add_aks_nodes, remove_node};
use crate::arm::{add_instance, remove_instance};
use crate::event::{self, Event};
use crate::world::{Shared, World};

/// Creates the routes through which tests and operators change the cluster from outside.
///
/// - `POST /_world/aks-nodes`, body `{"name","address","pod_cidr"}` or a list of such objects:
///   scales out. Creates the instance of the scale set, its Node, `NodeNetworkConfig` and
///   `CiliumNode`, and emits `aks_node_created`. 409 if the name or the address is in use.
/// - `DELETE /_world/aks-nodes/{name}`: scales in. Removes all of these objects and the pods of the
///   node, and emits `aks_node_deleted`. 404 if there is no such node.
/// - `POST /_world/kubernetes/compact`: discards the history, so that watches from earlier
///   revisions end with `410 Gone`.
pub(crate) fn control(shared: Shared) -> Router {
    Router::new()
        .route("/_world/aks-nodes", post(grow))
        .route("/_world/aks-nodes/{name}", delete(shrink))
        .route("/_world/kubernetes/compact", post(compact))
        .with_state(shared)
}

/// Body of a request to scale out.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum NewNodes {
    One(AksNode),
    Many(Vec<AksNode>),
}

/// Adds nodes in order until one is refused. Nodes before the refused one remain.
async fn grow(State(shared): State<Shared>, Json(nodes): Json<NewNodes>) -> Response {
    let nodes = match nodes {
        NewNodes::One(node) => vec![node],
        NewNodes::Many(nodes) => nodes,
    };
    let mut world = shared.lock();
    let (mut made, mut refused) = (Vec::new(), None);
    for node in nodes {
        match instance(&mut world, &node) {
            Ok(spec) => {
                shared.emit(&mut world, Event::AksNodeCreated(spec));
                made.push(node);
            }
            Err(why) => {
                refused = Some(why);
                break;
            }
        }
    }
    add_aks_nodes(&mut world.kube, &made);
    refused.map_or_else(|| StatusCode::CREATED.into_response(), |why| (StatusCode::CONFLICT, why).into_response())
}

/// Adds the instance of a node to its scale set. Returns the node as the event stream reports it.
///
/// The error names the conflicting name or address, or the invalid prefix.
fn instance(world: &mut World, node: &AksNode) -> Result<event::AksNodeSpec, String> {
    if node.pod_cidr.parse::<ipnet::Ipv4Net>().is_err() {
        return Err(format!("{:?} is no IPv4 prefix", node.pod_cidr));
    }
    if world.kube.named("nodes", &node.name).is_some() {
        return Err(format!("node {} is there already", node.name));
    }
    let spec = add_instance(&mut world.arm, &node.name, &node.address)?.unwrap_or_else(|| event::AksNodeSpec {
        name: node.name.clone(),
        private_ip: node.address.clone(),
        ..event::AksNodeSpec::default()
    });
    Ok(event::AksNodeSpec { pod_cidr: node.pod_cidr.clone(), ..spec })
}

/// Removes a node and its instance; 404 if neither exists.
async fn shrink(State(shared): State<Shared>, Path(name): Path<String>) -> StatusCode {
    let mut world = shared.lock();
    let had_machine = remove_instance(&mut world.arm, &name);
    let was_node = remove_node(&mut world.kube, &name);
    if !had_machine && !was_node {
        return StatusCode::NOT_FOUND;
    }
    shared.emit(&mut world, Event::AksNodeDeleted { name });
    StatusCode::NO_CONTENT
}

/// Discards the history of changes.
async fn compact(State(shared): State<Shared>) -> StatusCode {
    shared.lock().kube.compact();
    StatusCode::NO_CONTENT
}
