use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_sdk::{
    Action, ActionContext, ActionError, Difference, Permission, Preview, Recovery, RequiredPermissions,
};

use crate::{
    api::Api,
    drain_plan::{Pod, read},
    eviction::{FIRST_PAUSE, LONGEST_PAUSE, evict},
    kind::{At, PODS},
    permission::in_namespace_of,
};

/// `kubernetes.pod.evict`.
pub(crate) struct PodEvict(pub(crate) Arc<Api>);

/// Which pod is to leave.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EvictInput {
    /// The pod's namespace; the kubeconfig's own by default.
    #[serde(default)]
    namespace: Option<String>,
    /// The pod's name.
    pod: String,
    /// Whether a pod that is not there is fine.
    #[serde(default)]
    if_exists: bool,
}

/// What has left.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct EvictOutput {
    /// Whether there was a pod to evict.
    pub evicted: bool,
}

impl PodEvict {
    /// The pod as it is; `None` when it is not there.
    async fn pod(&self, cx: &ActionContext, input: &EvictInput) -> Result<Option<Pod>, ActionError> {
        let namespace = match &input.namespace {
            Some(namespace) => namespace.clone(),
            None => self.0.default_namespace().await?,
        };
        let pod = self.0.get(cx, &PODS, At::namespaced(&namespace, &input.pod)).await?;
        Ok(pod.as_ref().map(read))
    }

    /// Asks until the pod with this uid is gone: one that takes its name is left alone.
    async fn empty(&self, cx: &ActionContext, input: &EvictInput, doomed: &str) -> Result<(), ActionError> {
        let mut pause = FIRST_PAUSE;
        while let Some(pod) = self.pod(cx, input).await?.filter(|pod| pod.uid == doomed) {
            let refused = if pod.is_leaving { None } else { evict(&self.0, cx, &pod).await? };
            let (obstacle, patience) = match refused {
                Some(refused) => (refused.why, refused.retry_after.unwrap_or_default()),
                None => (format!("pod {} is still ending", pod.label()), pause),
            };
            cx.progress(&obstacle);
            cx.sleep(pause.max(patience)).await.map_err(|e| e.context(&obstacle))?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Ok(())
    }
}

impl Action for PodEvict {
    type Input = EvictInput;
    type Output = EvictOutput;
    const NAME: &'static str = "kubernetes.pod.evict";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Evicts a pod, as its disruption budget allows, and waits until it is gone.";

    async fn run(&self, cx: &ActionContext, input: &EvictInput) -> Result<EvictOutput, ActionError> {
        // An earlier attempt has chosen which pod it is: what has its name by now may be its successor.
        if let Some(doomed) = cx.checkpoint().as_ref().and_then(|c| c["uid"].as_str()) {
            self.empty(cx, input, doomed).await?;
            return Ok(EvictOutput { evicted: true });
        }
        match self.pod(cx, input).await? {
            Some(pod) => {
                cx.save_checkpoint(json!({"uid": pod.uid})).await?;
                self.empty(cx, input, &pod.uid).await?;
                Ok(EvictOutput { evicted: true })
            }
            None if input.if_exists => Ok(EvictOutput { evicted: false }),
            None => Err(ActionError::permanent(format!("pod {:?}: not found", input.pod))
                .with_hint("say `if_exists: true` if it may be gone already")),
        }
    }

    async fn preview(&self, cx: &ActionContext, input: &EvictInput) -> Result<Preview, ActionError> {
        Ok(match self.pod(cx, input).await? {
            Some(pod) => Preview::Changes {
                differences: vec![Difference::new(format!("pod {}", pod.label()), "there", Value::Null)],
            },
            None => Preview::Unchanged { output: json!({"evicted": false}) },
        })
    }
}

impl RequiredPermissions for PodEvict {
    const PERMISSIONS: &'static [Permission] = &[];

    fn for_input(with: &Value) -> Vec<Permission> {
        in_namespace_of(&["get pods", "create pods --subresource=eviction"], with, None)
    }
}
