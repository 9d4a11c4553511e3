use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_sdk::{
    Action, ActionContext, ActionError, Difference, Permission, Preview, Recovery, RequiredPermissions,
};

use crate::{
    api::Api,
    field::{list, name, text, texts},
    inventory::Inventory,
    kind::{CILIUM_NODES, NODES, PODS},
    permission::may,
    pod_cidr_registry::{Registry, block_of, release, released_by},
    pod_cidr_store as store,
    prefix::Prefix,
};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The cluster forgets pods of a node that is gone within a minute.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// `kubernetes.pod_cidr.release`.
pub(crate) struct PodCidrRelease(pub(crate) Arc<Api>);

/// Whose block is given back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReleaseInput {
    /// The node. It has to be gone, and no longer registered.
    node: String,
}

/// What was given back.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ReleaseOutput {
    /// The block, by this step or before; `null` for a node that never had one.
    pub pod_cidr: Option<Prefix>,
}

impl PodCidrRelease {
    /// Waits until no pod and no agent uses the block any more. A registered machine or a node that does is an error.
    async fn until_unused(&self, cx: &ActionContext, node: &str, block: Prefix) -> Result<(), ActionError> {
        let mut pause = FIRST_PAUSE;
        loop {
            if let Some(holder) = self.holder(cx, node, block).await? {
                return Err(ActionError::permanent(format!("pod block {block} of {node:?} is in use: {holder}"))
                    .with_hint("`remove-worker` takes a worker out of the cluster before it gives its block back"));
            }
            let Some(user) = self.user(cx, block).await? else { return Ok(()) };
            let obstacle = format!("pod block {block} of {node:?} is still in use: {user}");
            cx.progress(&obstacle);
            cx.sleep(pause).await.map_err(|e| e.context(obstacle))?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Who is meant to have the block.
    async fn holder(&self, cx: &ActionContext, node: &str, block: Prefix) -> Result<Option<String>, ActionError> {
        let inventory = Inventory::read(&self.0, cx).await?;
        let mut servers = inventory.servers.iter();
        let has = |own: Option<Prefix>| own.is_some_and(|own| own.overlaps(block));
        if let Some((server, _)) = servers.find(|(name, server)| *name == node || has(server.pod_cidr)) {
            return Ok(Some(format!("Server {server:?} is registered")));
        }
        let nodes = self.0.list(cx, &NODES, None, None).await?.unwrap_or_default();
        let known = |object: &Value| text(object, "/spec/podCIDR").and_then(|block| block.parse().ok());
        let found = nodes.iter().find(|object| name(object) == node || has(known(object)));
        Ok(found.map(|object| format!("node {:?} is there", name(object))))
    }

    /// What uses addresses of the block and will soon be gone, now that its node is.
    async fn user(&self, cx: &ActionContext, block: Prefix) -> Result<Option<String>, ActionError> {
        let agents = self.0.list(cx, &CILIUM_NODES, None, None).await?.unwrap_or_default();
        let has = |object: &Value| {
            let mut blocks = texts(object, "/spec/ipam/podCIDRs").filter_map(|own| own.parse::<Prefix>().ok());
            blocks.any(|own| own.overlaps(block))
        };
        if let Some(agent) = agents.iter().find(|object| has(object)) {
            return Ok(Some(format!("CiliumNode {:?} has it", name(agent))));
        }
        let pods = self.0.list(cx, &PODS, None, None).await?.unwrap_or_default();
        Ok(pods.iter().find(|pod| is_in(pod, block)).map(|pod| format!("pod {:?} has an address of it", name(pod))))
    }
}

fn is_in(pod: &Value, block: Prefix) -> bool {
    let has_ended = matches!(text(pod, "/status/phase"), Some("Succeeded" | "Failed"));
    let mut addresses = list(pod, "/status/podIPs").filter_map(|each| text(each, "/ip")?.parse().ok());
    !has_ended && addresses.any(|address| block.0.contains(&std::net::IpAddr::clone(&address)))
}

impl Action for PodCidrRelease {
    type Input = ReleaseInput;
    type Output = ReleaseOutput;
    const NAME: &'static str = "kubernetes.pod_cidr.release";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str =
        "Takes back the block of pod addresses of a node that has left, once nothing in the cluster uses it.";

    async fn run(&self, cx: &ActionContext, input: &ReleaseInput) -> Result<ReleaseOutput, ActionError> {
        loop {
            let recorded = store::read(&self.0, cx).await?;
            let Some(block) = block_of(&recorded.registry, &input.node) else {
                return Ok(input.output(&recorded.registry));
            };
            self.until_unused(cx, &input.node, block).await?;
            let registry = release(&recorded.registry, &input.node).unwrap_or_default();
            // Read before the wait: whoever has recorded something meanwhile makes this start over.
            if store::record(&self.0, cx, recorded, &registry).await? {
                cx.changed(input.difference(block).to_string());
                return Ok(input.output(&registry));
            }
            cx.log("somebody else recorded a block at the same time: reading again");
        }
    }

    async fn preview(&self, cx: &ActionContext, input: &ReleaseInput) -> Result<Preview, ActionError> {
        let registry = store::read(&self.0, cx).await?.registry;
        match block_of(&registry, &input.node) {
            Some(block) => Ok(Preview::Changes { differences: vec![input.difference(block)] }),
            None => Preview::unchanged(&input.output(&registry)),
        }
    }
}

impl RequiredPermissions for PodCidrRelease {
    const PERMISSIONS: &'static [Permission] = &[
        may("list sites.stargate.io"),
        may("list servers.stargate.io"),
        may("get configmaps/stargate-pod-cidrs -n kube-system"),
        may("update configmaps/stargate-pod-cidrs -n kube-system"),
        may("create configmaps -n kube-system"),
        may("list nodes"),
        may("list ciliumnodes.cilium.io"),
        may("list pods"),
    ];
}

impl ReleaseInput {
    fn output(&self, registry: &Registry) -> ReleaseOutput {
        ReleaseOutput { pod_cidr: released_by(registry, &self.node) }
    }

    fn difference(&self, block: Prefix) -> Difference {
        Difference::new(format!("pod block of {}", self.node), block.to_string(), Value::Null)
    }
}
