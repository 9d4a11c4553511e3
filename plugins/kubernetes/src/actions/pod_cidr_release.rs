use std::{net::IpAddr, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_client::{Backoff, Prefix, WaitState, poll_until};
use stargate_kubernetes_client::{
    CILIUM_NODES, KubeClient, PODS,
    json::{list, name, text, texts},
    permission,
};
use stargate_sdk::{
    Action, ActionContext, ActionError, Difference, Nature, Permission, Preview, Recovery, RequiredPermissions,
};

use crate::{
    inventory::Inventory,
    pod_cidr::{PodCidrRegistry, pod_cidr_of, release, released_pod_cidr, store},
};

/// The cluster's garbage collection deletes the pods of a deleted node within a minute.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(400), Duration::from_secs(5));

/// Action `kubernetes.pod_cidr.release`: releases the pod CIDR of a removed node.
///
/// The registry is written only if it is unchanged since it was read, before the checks: a node
/// that registered meanwhile keeps its pod CIDR. The prefix stays recorded as that of the removed
/// node, which gets it again when it returns.
pub(crate) struct PodCidrRelease(pub(crate) Arc<KubeClient>);

/// The node whose pod CIDR is released.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PodCidrReleaseInput {
    /// Name of the node, which must be gone and no longer registered.
    node: String,
}

/// The released pod CIDR.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct PodCidrReleaseOutput {
    /// The prefix, released by this step or before it; `null` for a node that never had one.
    pub pod_cidr: Option<Prefix>,
}

impl PodCidrRelease {
    /// Waits until no pod and no agent uses the pod CIDR. A registered machine or a node that has
    /// it is an error.
    async fn wait_until_unused(&self, cx: &ActionContext, node: &str, pod_cidr: Prefix) -> Result<(), ActionError> {
        let label = format!("pod CIDR {pod_cidr} of {node:?}");
        poll_until(cx, BACKOFF, || async {
            if let Some(owner) = self.owner(cx, node, pod_cidr).await? {
                return Err(ActionError::permanent(format!("{label} is in use: {owner}"))
                    .with_hint("run `remove-worker`, which removes a worker before it releases its pod CIDR"));
            }
            Ok(match self.user(cx, pod_cidr).await? {
                Some(user) => WaitState::pending(format!("{label} is still in use: {user}")),
                None => WaitState::Ready(()),
            })
        })
        .await
    }

    /// Text that names the machine or the node to which the pod CIDR still belongs.
    async fn owner(&self, cx: &ActionContext, node: &str, pod_cidr: Prefix) -> Result<Option<String>, ActionError> {
        let inventory = Inventory::read(&self.0, cx).await?;
        inventory.check_complete()?; // an invalid object can have the pod CIDR
        let mut servers = inventory.servers.iter();
        let has = |own: Option<Prefix>| own.is_some_and(|own| own.overlaps(pod_cidr));
        if let Some((server, _)) = servers.find(|(name, server)| *name == node || has(server.pod_cidr)) {
            return Ok(Some(format!("Server {server:?} is registered")));
        }
        let nodes = self.0.nodes(cx, None).await?;
        let own = |object: &Value| text(object, "/spec/podCIDR").and_then(|prefix| prefix.parse().ok());
        let found = nodes.iter().find(|object| name(object) == node || has(own(object)));
        Ok(found.map(|object| format!("node {:?} exists", name(object))))
    }

    /// Text that names an object which uses addresses of the pod CIDR, and which the cluster
    /// deletes after the node.
    async fn user(&self, cx: &ActionContext, pod_cidr: Prefix) -> Result<Option<String>, ActionError> {
        let agents = self.0.list(cx, &CILIUM_NODES, None, None).await?.unwrap_or_default();
        if let Some(agent) = agents.iter().find(|agent| names(agent, pod_cidr)) {
            return Ok(Some(format!("CiliumNode {:?} has it", name(agent))));
        }
        let pods = self.0.list(cx, &PODS, None, None).await?.unwrap_or_default();
        let user = pods.iter().find(|pod| has_address_in(pod, pod_cidr));
        Ok(user.map(|pod| format!("pod {:?} has an address of it", name(pod))))
    }
}

/// True if a `CiliumNode` names an overlapping prefix.
fn names(cilium_node: &Value, pod_cidr: Prefix) -> bool {
    let mut own = texts(cilium_node, "/spec/ipam/podCIDRs").filter_map(|own| own.parse::<Prefix>().ok());
    own.any(|own| own.overlaps(pod_cidr))
}

/// True if a pod that has not ended has an address in the prefix.
fn has_address_in(pod: &Value, pod_cidr: Prefix) -> bool {
    let has_ended = matches!(text(pod, "/status/phase"), Some("Succeeded" | "Failed"));
    let mut addresses = list(pod, "/status/podIPs").filter_map(|each| text(each, "/ip")?.parse::<IpAddr>().ok());
    !has_ended && addresses.any(|address| pod_cidr.contains_address(address))
}

impl Action for PodCidrRelease {
    type Input = PodCidrReleaseInput;
    type Output = PodCidrReleaseOutput;
    const NAME: &'static str = "kubernetes.pod_cidr.release";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Ensure;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Releases the pod CIDR of a removed node as soon as nothing in the cluster uses it.";

    async fn run(&self, cx: &ActionContext, input: &PodCidrReleaseInput) -> Result<PodCidrReleaseOutput, ActionError> {
        let mut waiter = store::waiter(cx);
        loop {
            let stored = store::read(&self.0, cx).await?;
            let Some(pod_cidr) = pod_cidr_of(&stored.registry, &input.node) else {
                return Ok(input.output(&stored.registry));
            };
            self.wait_until_unused(cx, &input.node, pod_cidr).await?;
            let registry = release(&stored.registry, &input.node).unwrap_or_default();
            // The registry was read before the wait: the write fails if it has changed since.
            if store::write(&self.0, cx, stored, &registry).await? {
                cx.changed(input.difference(pod_cidr).to_string());
                return Ok(input.output(&registry));
            }
            store::wait_to_read_again(&mut waiter).await?;
        }
    }

    async fn preview(&self, cx: &ActionContext, input: &PodCidrReleaseInput) -> Result<Preview, ActionError> {
        let registry = store::read(&self.0, cx).await?.registry;
        match pod_cidr_of(&registry, &input.node) {
            Some(pod_cidr) => Ok(Preview::changes(vec![input.difference(pod_cidr)])),
            None => Preview::unchanged(&input.output(&registry)),
        }
    }
}

impl RequiredPermissions for PodCidrRelease {
    const PERMISSIONS: &'static [Permission] = &[
        permission("list sites.stargate.io"),
        permission("list servers.stargate.io"),
        permission("get configmaps/stargate-pod-cidrs -n kube-system"),
        permission("update configmaps/stargate-pod-cidrs -n kube-system"),
        permission("create configmaps -n kube-system"),
        permission("list nodes"),
        permission("list ciliumnodes.cilium.io"),
        permission("list pods"),
    ];
}

impl PodCidrReleaseInput {
    fn output(&self, registry: &PodCidrRegistry) -> PodCidrReleaseOutput {
        PodCidrReleaseOutput { pod_cidr: released_pod_cidr(registry, &self.node) }
    }

    fn difference(&self, pod_cidr: Prefix) -> Difference {
        Difference::new(format!("pod CIDR of {}", self.node), pod_cidr.to_string(), Value::Null)
    }
}
