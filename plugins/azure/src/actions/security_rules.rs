use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{ActionContext, ActionError, Difference, Permission};

use crate::{
    actions::security_group::{SecurityGroupInput, SecurityRuleInput, set_rules},
    arm_resource::{ArmEnsure, ArmResource},
    client::{ArmClient, ArmObject, GroupName, NetworkName, Precondition, ResourceId, ResourceType},
    permission::read_and_write,
};

/// Desired rules of a network security group, if the group exists.
///
/// A machine that another program created has another group, which is not changed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecurityRulesInput {
    /// Resource group of the security group.
    resource_group: GroupName,
    /// Name of the security group.
    name: NetworkName,
    /// Rules that the group must have, matched by name.
    rules: Vec<SecurityRuleInput>,
}

/// Network security group that was read.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SecurityRulesOutput {
    /// True if the group exists.
    pub exists: bool,
}

impl SecurityRulesInput {
    fn id(&self, arm: &ArmClient) -> ResourceId {
        arm.group(&self.resource_group).resource(SecurityGroupInput::TYPE, &self.name)
    }
}

impl ArmEnsure for SecurityRulesInput {
    /// The group, or `None` if there is none of this name.
    type Actual = Option<ArmObject>;
    type Output = SecurityRulesOutput;
    const NAME: &'static str = "azure.security_rules.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a network security group, if it exists, has some rules.";
    const TYPES: &'static [ResourceType] = &[SecurityGroupInput::TYPE];

    fn permissions() -> Vec<Permission> {
        read_and_write(SecurityGroupInput::TYPE)
    }

    async fn read(&self, cx: &ActionContext, arm: &ArmClient) -> Result<Option<Option<ArmObject>>, ActionError> {
        arm.get_settled(cx, &self.id(arm)).await.map(Some)
    }

    fn diff(&self, _: &ArmClient, actual: Option<&Option<ArmObject>>) -> Result<Vec<Difference>, ActionError> {
        let Some(Some(group)) = actual else { return Ok(Vec::new()) };
        Ok(self.rules.iter().filter_map(|rule| rule.diff(group)).chain(group.failed_state()).collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        arm: &ArmClient,
        actual: Option<&Option<ArmObject>>,
    ) -> Result<(), ActionError> {
        let Some(Some(group)) = actual else { return Ok(()) };
        let (precondition, mut group) = (Precondition::unchanged(group), group.clone());
        set_rules(&mut group, &self.rules);
        arm.put(cx, &group.id, group.body, precondition).await
    }

    fn output(
        &self,
        _: &ActionContext,
        _: &ArmClient,
        actual: &Option<ArmObject>,
    ) -> Result<SecurityRulesOutput, ActionError> {
        Ok(SecurityRulesOutput { exists: actual.is_some() })
    }
}
