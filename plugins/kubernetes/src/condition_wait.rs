use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_sdk::{Action, ActionContext, ActionError, FailureKind, Permission, Recovery, RequiredPermissions};

use crate::{
    api::Api,
    field::{condition, owned, text},
    object_ref::ObjectRef,
    permission::{OF_INPUT, on_object},
};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// `kubernetes.condition.wait`.
pub(crate) struct ConditionWait(pub(crate) Arc<Api>);

/// What to wait for.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ConditionInput {
    /// Which object; it need not be there yet.
    #[serde(flatten)]
    object: ObjectRef,
    /// Type of the condition, such as `Ready`.
    condition: String,
    /// The status it is to have.
    #[serde(default = "yes")]
    status: String,
}

fn yes() -> String {
    "True".into()
}

/// The condition.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ConditionOutput {
    /// Why it is so, in a word.
    pub reason: String,
    /// Why it is so.
    pub message: String,
}

impl ConditionWait {
    /// The condition when it has the status, or what stands in the way.
    async fn look(
        &self,
        cx: &ActionContext,
        input: &ConditionInput,
    ) -> Result<Result<ConditionOutput, String>, ActionError> {
        let Some(place) = self.0.place(cx, &input.object).await? else {
            return Ok(Err(format!("the cluster has no kind {} yet", input.object.kind)));
        };
        let Some(object) = self.0.get(cx, &place.kind, place.at()).await? else {
            return Ok(Err("not found yet".into()));
        };
        let Some(condition) = condition(&object, &input.condition) else {
            return Ok(Err(format!("has no condition {} yet", input.condition)));
        };
        let (reason, message) = (owned(condition, "/reason"), owned(condition, "/message"));
        match text(condition, "/status") {
            Some(status) if status == input.status => Ok(Ok(ConditionOutput { reason, message })),
            status => Ok(Err(format!("{} is {}: {reason} {message}", input.condition, status.unwrap_or("unset")))),
        }
    }
}

impl Action for ConditionWait {
    type Input = ConditionInput;
    type Output = ConditionOutput;
    const NAME: &'static str = "kubernetes.condition.wait";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Waits until an object has a condition.";

    async fn run(&self, cx: &ActionContext, input: &ConditionInput) -> Result<ConditionOutput, ActionError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let obstacle = match self.look(cx, input).await {
                Ok(Ok(output)) => return Ok(output),
                Ok(Err(obstacle)) => obstacle,
                Err(error) if error.kind == FailureKind::Transient => error.message,
                Err(error) => return Err(error),
            };
            let obstacle = format!("{}: {obstacle}", input.object);
            cx.progress(&obstacle);
            cx.sleep(pause).await.map_err(|e| e.context(&obstacle))?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

impl RequiredPermissions for ConditionWait {
    const PERMISSIONS: &'static [Permission] = &[];

    fn for_input(with: &Value) -> Vec<Permission> {
        on_object(&["get"], with, &OF_INPUT)
    }
}
