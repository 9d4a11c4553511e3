use std::{collections::BTreeSet, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_client::Waiter;
use stargate_kubernetes_client::{KubeClient, NODES, ObjectName, PODS, permission};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Permission, Recovery, RequiredPermissions};

use crate::{
    duration::parse_duration,
    eviction::{EVICTION_BACKOFF, NodePod, RefusedEviction, check_losses, evict, pods_to_evict},
    node::{is_cordoned, missing_node_error},
};

/// Action `kubernetes.node.drain`: evicts the pods of a cordoned node and waits until they are
/// gone.
pub(crate) struct NodeDrain(pub(crate) Arc<KubeClient>);

/// The node to drain, and the losses that are accepted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeDrainInput {
    /// Name of the node, which must be cordoned.
    name: String,
    /// Maximum duration, such as `10m` [default: the timeout of the step].
    #[serde(default)]
    timeout: Option<String>,
    /// True if pods without a controller may be lost.
    #[serde(default)]
    force: bool,
    /// True if data in emptyDir volumes may be lost.
    #[serde(default)]
    delete_local_data: bool,
    /// True if a missing node is not an error.
    #[serde(default)]
    if_exists: bool,
}

/// The evicted pods.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NodeDrainOutput {
    /// Pods that this and earlier attempts of the step have evicted, each as `namespace/name`.
    pub evicted: Vec<String>,
}

/// Result of one round of evictions.
struct DrainRound {
    /// For each pod, the reason for which it is still on the node.
    reasons: Vec<String>,
    /// Longest delay that the API server asked for.
    retry_after: Option<Duration>,
}

impl NodeDrain {
    async fn pods_on_node(&self, cx: &ActionContext, node: &str) -> Result<Vec<NodePod>, ActionError> {
        let selector = format!("spec.nodeName={node}");
        let pods = self.0.list(cx, &PODS, None, Some(("fieldSelector", &selector))).await?.unwrap_or_default();
        Ok(pods_to_evict(&pods))
    }

    /// Requests the eviction of each pod once.
    async fn evict_once(&self, cx: &ActionContext, pods: &[NodePod]) -> Result<DrainRound, ActionError> {
        let mut round = DrainRound { reasons: Vec::new(), retry_after: None };
        for pod in pods {
            let refused = if pod.is_terminating { None } else { evict(&self.0, cx, pod).await? };
            let Some(RefusedEviction { reason, retry_after }) = refused else {
                round.reasons.push(pod.terminating_reason());
                continue;
            };
            round.reasons.push(reason);
            round.retry_after = round.retry_after.max(retry_after);
        }
        Ok(round)
    }

    /// Evicts pods until none is left. Returns the pods that were chosen, in all attempts.
    async fn evict_and_wait(
        &self,
        cx: &ActionContext,
        input: &NodeDrainInput,
        mut waiter: Waiter<'_>,
    ) -> Result<BTreeSet<String>, ActionError> {
        let mut chosen = chosen_before(cx);
        loop {
            let pods = self.pods_on_node(cx, &input.name).await?;
            if pods.is_empty() {
                return Ok(chosen);
            }
            check_losses(&pods, input.force, input.delete_local_data).map_err(|e| e.context(label(&input.name)))?;
            save_chosen(cx, &mut chosen, &pods).await?;
            let round = self.evict_once(cx, &pods).await?;
            let reason = format!("{}: {}", label(&input.name), round.reasons.join("; "));
            waiter.pending(reason, round.retry_after).await?;
        }
    }
}

impl Action for NodeDrain {
    type Input = NodeDrainInput;
    type Output = NodeDrainOutput;
    const NAME: &'static str = "kubernetes.node.drain";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Ensure;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Evicts the pods of a cordoned node, as their disruption budgets permit.";

    async fn run(&self, cx: &ActionContext, input: &NodeDrainInput) -> Result<NodeDrainOutput, ActionError> {
        let limit = input.timeout.as_deref().map(|text| parse_duration("timeout", text)).transpose()?;
        match self.0.get(cx, &NODES, ObjectName::cluster(&input.name)).await? {
            None if input.if_exists => return Ok(NodeDrainOutput { evicted: Vec::new() }),
            None => return Err(missing_node_error(&input.name)),
            Some(node) if !is_cordoned(&node) => {
                return Err(ActionError::permanent(format!(
                    "{} is not cordoned: evicted pods could be scheduled on it again",
                    label(&input.name)
                ))
                .with_hint("cordon it first, with kubernetes.node.cordon"));
            }
            Some(_) => {}
        }
        let mut waiter = Waiter::new(cx, EVICTION_BACKOFF);
        if let Some(limit) = limit {
            waiter = waiter.with_limit(limit, "the drain's timeout");
        }
        let evicted = self.evict_and_wait(cx, input, waiter).await?;
        Ok(NodeDrainOutput { evicted: evicted.into_iter().collect() })
    }
}

impl RequiredPermissions for NodeDrain {
    const PERMISSIONS: &'static [Permission] =
        &[permission("get nodes"), permission("list pods"), permission("create pods --subresource=eviction")];
}

fn label(node: &str) -> String {
    format!("node {node:?}")
}

/// The pods that earlier attempts have chosen. They count as evicted, because a pod that is gone
/// can no longer be read.
fn chosen_before(cx: &ActionContext) -> BTreeSet<String> {
    let checkpoint = cx.checkpoint().unwrap_or(Value::Null);
    serde_json::from_value(checkpoint["evicting"].clone()).unwrap_or_default()
}

/// Stores the pods that will be evicted, if there are new ones.
async fn save_chosen(cx: &ActionContext, chosen: &mut BTreeSet<String>, pods: &[NodePod]) -> Result<(), ActionError> {
    let count = chosen.len();
    chosen.extend(pods.iter().map(NodePod::label));
    if chosen.len() > count {
        cx.save_checkpoint(json!({"evicting": chosen})).await?;
    }
    Ok(())
}
