use stargate_sdk::{Ensure, Registry};

use crate::{CiliumSettings, api::Api, node_ensure::NodeEnsure};

/// Adds the `cilium.*` actions.
///
/// Makes no request and reads no file: both happen when an action first needs the cluster.
pub fn register(registry: &mut Registry, settings: CiliumSettings) {
    registry.add(Ensure(NodeEnsure(Api::new(settings))));
}
