use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Preview, Recovery, RequiredPermissions};

/// Message of the failure.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FailInput {
    /// Error message.
    pub message: String,
    /// Command or correction that helps.
    #[serde(default)]
    pub hint: Option<String>,
}

/// Output of a step that always fails: there is none.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct FailOutput {}

/// Action `core.fail`: fails. The step's `when` says in which case.
pub(crate) struct Fail;

impl RequiredPermissions for Fail {}

impl Action for Fail {
    type Input = FailInput;
    type Output = FailOutput;
    const NAME: &'static str = "core.fail";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Fails with a message.";

    async fn run(&self, _: &ActionContext, input: &FailInput) -> Result<FailOutput, ActionError> {
        let error = ActionError::permanent(&input.message);
        Err(input.hint.iter().fold(error, ActionError::with_hint))
    }

    async fn preview(&self, cx: &ActionContext, input: &FailInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}
