use std::sync::Arc;

use stargate_sdk::{Ensure, Registry};

use crate::{CiliumSettings, api::Api, node_ensure::NodeEnsure, nodes_ensure::NodesEnsure};

/// Adds the `cilium.*` actions.
///
/// Makes no request and reads no file: both happen when an action first needs the cluster.
pub fn register(registry: &mut Registry, settings: CiliumSettings) {
    let api = Arc::new(Api::new(settings));
    registry.add(Ensure(NodeEnsure(Arc::clone(&api))));
    registry.add(Ensure(NodesEnsure(api)));
}
