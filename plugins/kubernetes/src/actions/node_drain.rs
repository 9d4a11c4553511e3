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
    node::{KubeletHealth, is_cordoned, kubelet_health, missing_node_error, not_ready_reason, ready_since},
};

/// Maximum time for which the end of pods is waited for while the kubelet reports that the node is
/// not ready: it may still end pods, for example if only its network plugin is missing.
const NOT_READY_LIMIT: Duration = Duration::from_mins(2);

/// Maximum time for which evictions that a budget refuses are repeated while the kubelet is silent,
/// unless the input sets another one. A pod that this node does not run again can keep its budget
/// used up for ever.
const SILENT_LIMIT: Duration = Duration::from_mins(5);

/// Action `kubernetes.node.drain`: evicts the pods of a cordoned node and waits until they are
/// gone.
///
/// Only the kubelet can end a pod. Once it has stopped reporting, each pod is still evicted, as its
/// disruption budget permits, but its end is not waited for: the output names the pods that are
/// left. They end when the kubelet runs again, or when the node is deleted. An eviction that a
/// budget refuses meanwhile has a limit of its own.
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
    /// Maximum duration for which refused evictions are repeated while the kubelet has stopped
    /// reporting [default: `5m`].
    #[serde(default)]
    silent_timeout: Option<String>,
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
    /// Evicted pods that are still on the node because its kubelet does not end them, each as
    /// `namespace/name`.
    #[serde(default)]
    pub left: Vec<String>,
}

/// Advice for a pod of a ready node that does not end.
const TERMINATING_HINT: &str = "see `kubectl describe pod` for finalizers and volumes that keep a pod; the node stays cordoned until the pod is gone";

/// Result of one round of evictions.
struct DrainRound {
    /// For each pod, the reason for which it is still on the node.
    reasons: Vec<String>,
    /// True if an eviction was refused.
    is_refused: bool,
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
        let mut round = DrainRound { reasons: Vec::new(), is_refused: false, retry_after: None };
        for pod in pods {
            let refused = if pod.is_terminating { None } else { evict(&self.0, cx, pod).await? };
            let Some(RefusedEviction { reason, retry_after }) = refused else {
                round.reasons.push(pod.terminating_reason());
                continue;
            };
            round.reasons.push(reason);
            round.is_refused = true;
            round.retry_after = round.retry_after.max(retry_after);
        }
        Ok(round)
    }

    /// Reads whether the kubelet can end pods; `None` if the node has been deleted, which ends its
    /// pods.
    async fn kubelet(&self, cx: &ActionContext, node: &str) -> Result<Option<KubeletReport>, ActionError> {
        let node = self.0.get(cx, &NODES, ObjectName::cluster(node)?).await?;
        Ok(node.map(|node| KubeletReport {
            health: kubelet_health(&node),
            reason: not_ready_reason(&node),
            since: ready_since(&node).map(str::to_owned),
        }))
    }

    /// Evicts pods until none is left, or until the kubelet cannot end those that are left.
    async fn evict_and_wait(
        &self,
        cx: &ActionContext,
        input: &NodeDrainInput,
        mut waiter: Waiter<'_>,
    ) -> Result<NodeDrainOutput, ActionError> {
        let silent_limit = duration_of("silent_timeout", input.silent_timeout.as_deref())?.unwrap_or(SILENT_LIMIT);
        let mut chosen = chosen_before(cx);
        let (mut not_ready_since, mut refused_since) = (None, None);
        loop {
            let pods = self.pods_on_node(cx, &input.name).await?;
            if pods.is_empty() {
                return Ok(drained(chosen, &[]));
            }
            let Some(kubelet) = self.kubelet(cx, &input.name).await? else { return Ok(drained(chosen, &[])) };
            let is_terminating = pods.iter().all(|pod| pod.is_terminating);
            if is_terminating && kubelet.cannot_end_pods(cx.elapsed(), &mut not_ready_since) {
                let left = drained(chosen, &pods);
                cx.log(format!("warning: {}", kubelet.left_warning(&input.name, &left.left)));
                return Ok(left);
            }
            check_losses(&pods, input.force, input.delete_local_data).map_err(|e| e.context(label(&input.name)))?;
            save_chosen(cx, &mut chosen, &pods).await?;
            let round = self.evict_once(cx, &pods).await?;
            let reason = format!("{}{}: {}", label(&input.name), kubelet.words(), round.reasons.join("; "));
            if kubelet.is_refused_in_silence(cx.elapsed(), round.is_refused, &mut refused_since, silent_limit) {
                let words = format!("{reason}; no eviction was accepted for {} s", silent_limit.as_secs());
                return Err(ActionError::permanent(words).with_hint(kubelet.refusal_hint()));
            }
            let hint = if round.is_refused { kubelet.refusal_hint() } else { TERMINATING_HINT.to_owned() };
            waiter.pending(reason, round.retry_after).await.map_err(|e| e.with_hint(hint))?;
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
        let limit = duration_of("timeout", input.timeout.as_deref())?;
        match self.0.get(cx, &NODES, ObjectName::cluster(&input.name)?).await? {
            None if input.if_exists => return Ok(drained(BTreeSet::new(), &[])),
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
        self.evict_and_wait(cx, input, waiter).await
    }
}

impl RequiredPermissions for NodeDrain {
    const PERMISSIONS: &'static [Permission] =
        &[permission("get nodes"), permission("list pods"), permission("create pods --subresource=eviction")];
}

/// State of the node's kubelet in one round.
struct KubeletReport {
    health: KubeletHealth,
    /// Message of the condition `Ready`.
    reason: String,
    /// Time since which the condition has its status, as RFC 3339.
    since: Option<String>,
}

impl KubeletReport {
    /// True if the kubelet has stopped reporting, or has reported for [`NOT_READY_LIMIT`] that the
    /// node is not ready. `since` is the time of the attempt at which it was first seen, `now` the
    /// present one.
    fn cannot_end_pods(&self, now: Duration, since: &mut Option<Duration>) -> bool {
        match self.health {
            KubeletHealth::Silent => true,
            KubeletHealth::NotReady => now > *since.get_or_insert(now) + NOT_READY_LIMIT,
            KubeletHealth::Ready => {
                *since = None;
                false
            }
        }
    }

    /// True if a budget has refused evictions for `limit` while the kubelet was silent. `since` is
    /// the time of the attempt at which it first did, `now` the present one.
    fn is_refused_in_silence(
        &self,
        now: Duration,
        is_refused: bool,
        since: &mut Option<Duration>,
        limit: Duration,
    ) -> bool {
        if !is_refused || self.health != KubeletHealth::Silent {
            *since = None;
            return false;
        }
        now >= *since.get_or_insert(now) + limit
    }

    /// Words about the kubelet for a reason to wait; empty if it is ready.
    fn words(&self) -> String {
        match self.health {
            KubeletHealth::Ready => String::new(),
            KubeletHealth::NotReady => format!(": not ready ({})", self.reason.trim_end_matches('.')),
            KubeletHealth::Silent => {
                let since = self.since.as_ref().map(|since| format!(", silent since {since}")).unwrap_or_default();
                format!(": its kubelet is down{since} ({})", self.reason.trim_end_matches('.'))
            }
        }
    }

    fn left_warning(&self, node: &str, left: &[String]) -> String {
        format!(
            "{}{}: the end of {} is not waited for; a pod that is left ends when the kubelet runs again or the node is \
             deleted",
            label(node),
            self.words(),
            left.join(", ")
        )
    }

    /// Advice for an eviction that was refused until the limit.
    fn refusal_hint(&self) -> String {
        let start = match self.health {
            KubeletHealth::Ready => "",
            _ => "start the kubelet (`sudo systemctl restart kubelet` on the machine), or ",
        };
        let gone = match self.health {
            KubeletHealth::Silent => {
                "; if the machine does not exist any more, `stargate run workflow remove-worker` with `host_is_gone=true` \
                 removes its node"
            }
            _ => "",
        };
        format!(
            "{start}relax the disruption budget (`kubectl get pdb -A`) or add replicas on other nodes{gone}; the node stays \
             cordoned until then"
        )
    }
}

/// Result of a drain that left these pods.
fn drained(evicted: BTreeSet<String>, left: &[NodePod]) -> NodeDrainOutput {
    NodeDrainOutput { evicted: evicted.into_iter().collect(), left: left.iter().map(NodePod::label).collect() }
}

fn duration_of(field: &str, text: Option<&str>) -> Result<Option<Duration>, ActionError> {
    text.map(|text| parse_duration(field, text)).transpose()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_kubelet_is_not_waited_for_and_one_that_is_not_ready_for_a_while() {
        let report = |health| KubeletReport { health, reason: String::new(), since: None };
        let (start, mut since) = (Duration::from_secs(5), None);
        assert!(report(KubeletHealth::Silent).cannot_end_pods(start, &mut since));
        assert!(!report(KubeletHealth::NotReady).cannot_end_pods(start, &mut since));
        let later = start + NOT_READY_LIMIT + Duration::from_secs(1);
        assert!(!report(KubeletHealth::Ready).cannot_end_pods(later, &mut since), "it is ready in between");
        assert!(!report(KubeletHealth::NotReady).cannot_end_pods(later, &mut since));
        assert!(report(KubeletHealth::NotReady).cannot_end_pods(later * 2, &mut since));
    }

    #[test]
    fn a_budget_is_waited_for_in_silence_for_a_while_only() {
        let report = |health| KubeletReport { health, reason: String::new(), since: None };
        let (silent, limit, mut since) = (report(KubeletHealth::Silent), Duration::from_mins(1), None);
        let mut check = |report: &KubeletReport, seconds, is_refused| {
            report.is_refused_in_silence(Duration::from_secs(seconds), is_refused, &mut since, limit)
        };
        assert!(!check(&silent, 5, true));
        assert!(!check(&silent, 64, true));
        assert!(check(&silent, 65, true));
        assert!(!check(&silent, 66, false), "an eviction was accepted in between");
        assert!(!check(&silent, 70, true));
        assert!(!check(&report(KubeletHealth::NotReady), 131, true), "the kubelet reports");
        assert!(!check(&silent, 140, true));
    }
}
