use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_client::{WaitState, poll_until};
use stargate_kubernetes_client::{KubeClient, ObjectName, PODS};
use stargate_sdk::{
    Action, ActionContext, ActionError, Difference, Nature, Permission, Preview, Recovery, RequiredPermissions,
};

use crate::{
    eviction::{EVICTION_BACKOFF, NodePod, RefusedEviction, evict},
    permission::in_namespace_of,
};

/// Action `kubernetes.pod.evict`: evicts a pod and waits until it is gone.
///
/// An eviction respects disruption budgets, which a deletion would not: while a budget refuses it,
/// the action asks again until the step's timeout.
pub(crate) struct PodEvict(pub(crate) Arc<KubeClient>);

/// The pod to evict.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PodEvictInput {
    /// Namespace of the pod [default: that of the kubeconfig's context].
    #[serde(default)]
    namespace: Option<String>,
    /// Name of the pod.
    pod: String,
    /// True if a missing pod is not an error.
    #[serde(default)]
    if_exists: bool,
}

/// Result of the eviction.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct PodEvictOutput {
    /// False if there was no pod to evict.
    pub evicted: bool,
}

impl PodEvict {
    /// Reads the pod; `None` if it does not exist.
    async fn pod(&self, cx: &ActionContext, input: &PodEvictInput) -> Result<Option<NodePod>, ActionError> {
        let namespace = match &input.namespace {
            Some(namespace) => namespace.clone(),
            None => self.0.default_namespace().await?,
        };
        let pod = self.0.get(cx, &PODS, ObjectName::namespaced(&namespace, &input.pod)?).await?;
        Ok(pod.as_ref().map(NodePod::of))
    }

    /// Requests the eviction until the pod with this uid is gone. A pod that was created under its
    /// name is not touched.
    async fn evict_and_wait(
        &self,
        cx: &ActionContext,
        input: &PodEvictInput,
        pod_uid: &str,
    ) -> Result<(), ActionError> {
        poll_until(cx, EVICTION_BACKOFF, || async {
            let Some(pod) = self.pod(cx, input).await?.filter(|pod| pod.uid == pod_uid) else {
                return Ok(WaitState::Ready(()));
            };
            let refused = if pod.is_terminating { None } else { evict(&self.0, cx, &pod).await? };
            Ok(match refused {
                Some(RefusedEviction { reason, retry_after }) => WaitState::pending_for(reason, retry_after),
                None => WaitState::pending(pod.terminating_reason()),
            })
        })
        .await
    }
}

impl Action for PodEvict {
    type Input = PodEvictInput;
    type Output = PodEvictOutput;
    const NAME: &'static str = "kubernetes.pod.evict";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Once;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Evicts a pod, as its disruption budget permits, and waits until it is gone.";

    async fn run(&self, cx: &ActionContext, input: &PodEvictInput) -> Result<PodEvictOutput, ActionError> {
        // An earlier attempt has chosen the pod; the name may belong to another one by now.
        if let Some(pod_uid) = cx.checkpoint().as_ref().and_then(|c| c["uid"].as_str()) {
            self.evict_and_wait(cx, input, pod_uid).await?;
            return Ok(PodEvictOutput { evicted: true });
        }
        match self.pod(cx, input).await? {
            Some(pod) => {
                cx.save_checkpoint(json!({"uid": pod.uid})).await?;
                self.evict_and_wait(cx, input, &pod.uid).await?;
                Ok(PodEvictOutput { evicted: true })
            }
            None if input.if_exists => Ok(PodEvictOutput { evicted: false }),
            None => Err(ActionError::permanent(format!("pod {:?}: not found", input.pod))
                .with_hint("set `if_exists: true` if it may be gone already")),
        }
    }

    async fn preview(&self, cx: &ActionContext, input: &PodEvictInput) -> Result<Preview, ActionError> {
        let Some(pod) = self.pod(cx, input).await? else {
            return Preview::unchanged(&PodEvictOutput { evicted: false });
        };
        let difference = Difference::new(format!("pod {}", pod.label()), "exists", Value::Null);
        Ok(Preview::changes(vec![difference]))
    }
}

impl RequiredPermissions for PodEvict {
    const PERMISSIONS: &'static [Permission] = &[];

    fn for_input(with: &Value) -> Vec<Permission> {
        in_namespace_of(&["get pods", "create pods --subresource=eviction"], with, None)
    }
}
