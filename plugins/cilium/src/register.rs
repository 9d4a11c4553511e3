use std::sync::Arc;

use stargate_kubernetes_client::{CLUSTER_TARGET, KubeClient};
use stargate_sdk::{Ensure, Registry};

use crate::actions::{ConfigurationInspect, NodeEnsure, NodesEnsure};

/// Adds the `cilium.*` actions, which call the cluster of `client`: the target of the
/// `kubernetes.*` actions.
///
/// Makes no request and reads no file.
pub fn register(registry: &mut Registry, client: Arc<KubeClient>) {
    registry.add_for_target(CLUSTER_TARGET, |actions| {
        actions.add(ConfigurationInspect(Arc::clone(&client)));
        actions.add(Ensure(NodeEnsure(Arc::clone(&client))));
        actions.add(Ensure(NodesEnsure(client)));
    });
}
