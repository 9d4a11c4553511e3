use stargate_sdk::{Action, ActionContext, ActionError, Preview, Recovery, RequiredPermissions};

use crate::compute::compute;
use crate::conflict::Conflicts;
use crate::desired::Desired;
use crate::facts::Facts;

/// `routes.desired.compute`.
pub(crate) struct DesiredCompute;

impl RequiredPermissions for DesiredCompute {}

impl Action for DesiredCompute {
    type Input = Facts;
    type Output = Desired;
    const NAME: &'static str = "routes.desired.compute";
    const VERSION: u32 = 2;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Computes the desired entries of every routing surface from one set of facts.";

    async fn run(&self, cx: &ActionContext, facts: &Facts) -> Result<Desired, ActionError> {
        let desired = compute(facts).map_err(|conflicts| refused(&conflicts))?;
        desired.warnings.iter().for_each(|warning| cx.log(warning));
        Ok(desired)
    }

    async fn preview(&self, cx: &ActionContext, facts: &Facts) -> Result<Preview, ActionError> {
        let desired = self.run(cx, facts).await?;
        let output =
            serde_json::to_value(desired).map_err(|e| ActionError::permanent(format!("desired entries: {e}")))?;
        Ok(Preview::Unchanged { output })
    }
}

fn refused(conflicts: &Conflicts) -> ActionError {
    let messages: Vec<&str> = conflicts.0.iter().map(|conflict| conflict.message.as_str()).collect();
    let hints: Vec<&str> = conflicts.0.iter().map(|conflict| conflict.hint.as_str()).collect();
    ActionError::permanent(messages.join("; ")).with_hint(hints.join("; "))
}
