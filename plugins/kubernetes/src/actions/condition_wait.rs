use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_client::{Backoff, WaitState, poll_until};
use stargate_kubernetes_client::{
    KubeClient, ObjectRef,
    json::{condition, text, text_or_empty},
};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Permission, Recovery, RequiredPermissions};

use crate::permission::{OF_INPUT, on_object};

/// Controllers set most conditions within a second, and some after minutes.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));

/// Action `kubernetes.condition.wait`: waits until a condition of an object has a status.
pub(crate) struct ConditionWait(pub(crate) Arc<KubeClient>);

/// The condition to wait for.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ConditionWaitInput {
    /// Object with the condition; neither the object nor its kind need exist yet.
    #[serde(flatten)]
    object: ObjectRef,
    /// Type of the condition, such as `Ready`.
    condition: String,
    /// Status to wait for: `True`, `False` or `Unknown`.
    #[serde(default = "true_status")]
    status: String,
}

fn true_status() -> String {
    "True".into()
}

/// Explanation of the condition.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ConditionWaitOutput {
    /// Reason in one word, as the controller wrote it.
    pub reason: String,
    /// Reason in a sentence, as the controller wrote it.
    pub message: String,
}

impl ConditionWait {
    async fn read(
        &self,
        cx: &ActionContext,
        input: &ConditionWaitInput,
    ) -> Result<WaitState<ConditionWaitOutput>, ActionError> {
        let pending = |reason: String| Ok(WaitState::pending(format!("{}: {reason}", input.object)));
        let Some(object) = self.0.resolve(cx, &input.object).await? else {
            return pending(format!("the cluster has no kind {} yet", input.object.kind));
        };
        let Some(object) = self.0.get(cx, &object.kind, object.object_name()?).await? else {
            return pending("not found yet".into());
        };
        let Some(condition) = condition(&object, &input.condition) else {
            return pending(format!("has no condition {} yet", input.condition));
        };
        let (reason, message) = (text_or_empty(condition, "/reason"), text_or_empty(condition, "/message"));
        match text(condition, "/status") {
            Some(status) if status == input.status => Ok(WaitState::Ready(ConditionWaitOutput { reason, message })),
            status => pending(format!("{} is {}: {reason} {message}", input.condition, status.unwrap_or("unset"))),
        }
    }
}

impl Action for ConditionWait {
    type Input = ConditionWaitInput;
    type Output = ConditionWaitOutput;
    const NAME: &'static str = "kubernetes.condition.wait";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Waits until a condition of an object has a status.";

    async fn run(&self, cx: &ActionContext, input: &ConditionWaitInput) -> Result<ConditionWaitOutput, ActionError> {
        poll_until(cx, BACKOFF, || self.read(cx, input)).await
    }
}

impl RequiredPermissions for ConditionWait {
    const PERMISSIONS: &'static [Permission] = &[];

    fn for_input(with: &Value) -> Vec<Permission> {
        on_object(&["get"], with, &OF_INPUT)
    }
}
