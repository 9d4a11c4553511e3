use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Permission, Preview, Recovery, RequiredPermissions};

use super::inventory_read::InvalidRegistration;

/// Action `kubernetes.inventory.check`: fails if a registered object cannot be used.
///
/// No other step of a workflow has to need it.
pub(crate) struct InventoryCheck;

/// Result of `kubernetes.inventory.read`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InventoryCheckInput {
    /// The objects that cannot be used.
    invalid: Vec<InvalidRegistration>,
}

/// No output: all objects can be used.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct InventoryCheckOutput {}

impl Action for InventoryCheck {
    type Input = InventoryCheckInput;
    type Output = InventoryCheckOutput;
    const NAME: &'static str = "kubernetes.inventory.check";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Fails if a registered site or machine cannot be used, and names it.";

    async fn run(&self, _: &ActionContext, input: &InventoryCheckInput) -> Result<InventoryCheckOutput, ActionError> {
        if input.invalid.is_empty() { Ok(InventoryCheckOutput {}) } else { Err(invalid(&input.invalid)) }
    }

    async fn preview(&self, cx: &ActionContext, input: &InventoryCheckInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for InventoryCheck {
    const PERMISSIONS: &'static [Permission] = &[];
}

/// The error that names all objects.
fn invalid(objects: &[InvalidRegistration]) -> ActionError {
    let names: Vec<String> = objects.iter().map(ToString::to_string).collect();
    ActionError::permanent(format!("left out: {}", names.join("; "))).with_hint(
        "run `provision-dc` of the site again with its inputs, or delete the object with `kubectl delete`; \
         no route of it is added or removed until then",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_object_is_named_with_its_reason() {
        let object = |kind: &str, name: &str, reason: &str| InvalidRegistration {
            kind: kind.into(),
            name: name.into(),
            reason: reason.into(),
        };
        let error = invalid(&[object("Site", "dc", "no router"), object("Server", "w", "no site")]);
        assert_eq!(error.to_string(), "left out: Site \"dc\": no router; Server \"w\": no site");
    }
}
