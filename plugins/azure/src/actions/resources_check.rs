use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Permission, Preview, Recovery, RequiredPermissions};

use crate::{
    client::{ArmClient, ArmObject},
    owned_resources::{Owned, OwnedResourcesInput, read_permissions},
};

/// Action `azure.resources.check`: checks that the resources of an owner can be deleted.
///
/// `azure.resources.delete` with the same input checks the same. This action does it before other
/// steps delete anything.
pub(crate) struct ResourcesCheck(pub(crate) ArmClient);

/// Resources that can be deleted.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ResourcesCheckOutput {
    /// Ids of the owner's resources.
    pub resources: Vec<String>,
    /// Ids of the other resources of the group; empty without `delete_group`.
    pub kept: Vec<String>,
}

impl Action for ResourcesCheck {
    type Input = OwnedResourcesInput;
    type Output = ResourcesCheckOutput;
    const NAME: &'static str = "azure.resources.check";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Checks that no resource of another party uses those that were created for an owner.";

    async fn run(&self, cx: &ActionContext, input: &OwnedResourcesInput) -> Result<ResourcesCheckOutput, ActionError> {
        let owned = Owned::read(&self.0, cx, input).await?;
        let resources = owned.resources.iter().map(ArmObject::id).collect();
        Ok(ResourcesCheckOutput { resources, kept: owned.others })
    }

    async fn preview(&self, cx: &ActionContext, input: &OwnedResourcesInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for ResourcesCheck {
    const PERMISSIONS: &'static [Permission] = &[];

    fn for_input(_: &Value) -> Vec<Permission> {
        read_permissions().collect()
    }
}
