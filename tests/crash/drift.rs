//! Changes by other administrators before the routes of a deployment are synchronised.

use stargate_sim::Sim;

use crate::{
    inputs::{AKS_ROUTER, DC_GROUP, DC_ROUTER, NODE_GROUP},
    outside,
};

/// Causes drift on every surface that decides about packets of pods.
pub(crate) async fn everywhere(sim: &Sim) {
    outside::delete_route(sim, NODE_GROUP, "stargate-workers-rt").await;
    outside::leave_stale_route(sim, "10.99.0.0/16").await;
    outside::turn_forwarding_off(sim, DC_GROUP, "worker-1-nic").await;
    outside::turn_forwarding_off(sim, NODE_GROUP, &format!("{AKS_ROUTER}-nic")).await;
    outside::replace_aks_node(sim).await;
    outside::blank_cilium_node(sim, "worker-1").await;
    outside::withdraw_approval(sim, DC_ROUTER);
    outside::stop_forwarding(sim, DC_ROUTER);
    outside::stop_forwarding(sim, "worker-2");
}
