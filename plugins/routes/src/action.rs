use stargate_sdk::{Action, ActionContext, ActionError, Nature, Preview, Recovery, RequiredPermissions};

use crate::{
    compute::compute,
    conflict::{Conflict, Conflicts},
    desired::DesiredEntries,
    facts::Facts,
};

/// Action `routes.desired.compute`: computes the desired entries of all surfaces from facts.
pub(crate) struct DesiredCompute;

impl RequiredPermissions for DesiredCompute {}

impl Action for DesiredCompute {
    type Input = Facts;
    type Output = DesiredEntries;
    const NAME: &'static str = "routes.desired.compute";
    const VERSION: u32 = 3;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Computes the desired entries of every routing surface from one set of facts.";

    async fn run(&self, cx: &ActionContext, facts: &Facts) -> Result<DesiredEntries, ActionError> {
        let desired = compute(facts).map_err(|Conflicts(conflicts)| conflict_error(&conflicts))?;
        desired.warnings.iter().for_each(|warning| cx.log(warning));
        Ok(desired)
    }

    async fn preview(&self, cx: &ActionContext, facts: &Facts) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, facts).await?)
    }
}

/// One error with the messages and the hints of all conflicts.
pub(crate) fn conflict_error(conflicts: &[Conflict]) -> ActionError {
    let messages: Vec<&str> = conflicts.iter().map(|conflict| conflict.message.as_str()).collect();
    let hints: Vec<&str> = conflicts.iter().map(|conflict| conflict.hint.as_str()).collect();
    ActionError::permanent(messages.join("; ")).with_hint(hints.join("; "))
}
