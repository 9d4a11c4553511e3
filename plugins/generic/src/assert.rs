use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Preview, Recovery, RequiredPermissions};

/// Code of the error of an assertion that does not hold.
const CODE: &str = "assertion_failed";

/// The condition that must hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssertInput {
    /// Condition that must be true: an expression.
    pub that: bool,
    /// Error message if it is false.
    pub message: String,
    /// Command or correction that helps then.
    #[serde(default)]
    pub hint: Option<String>,
}

/// Condition that holds.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct AssertOutput {}

/// Action `core.assert`: fails unless a condition is true.
///
/// It is for what a step has read. A condition over inputs alone belongs in the schema of the
/// inputs.
pub(crate) struct Assert;

impl RequiredPermissions for Assert {}

impl Action for Assert {
    type Input = AssertInput;
    type Output = AssertOutput;
    const NAME: &'static str = "core.assert";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Fails with a message unless a condition is true.";

    async fn run(&self, _: &ActionContext, input: &AssertInput) -> Result<AssertOutput, ActionError> {
        if input.that {
            return Ok(AssertOutput {});
        }
        let error = ActionError::permanent(&input.message).with_code(CODE);
        Err(input.hint.iter().fold(error, ActionError::with_hint))
    }

    async fn preview(&self, cx: &ActionContext, input: &AssertInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn only_a_false_condition_fails_with_message_and_hint() {
        let cx = ActionContext::detached("check", Arc::default());
        let input = |that| AssertInput { that, message: "no room is left".into(), hint: Some("choose another".into()) };
        Assert.run(&cx, &input(true)).await.expect("it holds");
        let error = Assert.run(&cx, &input(false)).await.expect_err("it does not hold");
        assert_eq!((error.message.as_str(), error.hint.as_deref()), ("no room is left", Some("choose another")));
        Assert.preview(&cx, &input(false)).await.expect_err("a plan says so too");
    }
}
