use std::sync::Arc;

use stargate_kubernetes_client::KubeClient;
use stargate_sdk::{Ensure, Registry};

use crate::actions::{NodeEnsure, NodesEnsure};

/// Adds the `cilium.*` actions, which call the cluster of `client`.
///
/// Makes no request and reads no file.
pub fn register(registry: &mut Registry, client: Arc<KubeClient>) {
    registry.add(Ensure(NodeEnsure(Arc::clone(&client))));
    registry.add(Ensure(NodesEnsure(client)));
}
