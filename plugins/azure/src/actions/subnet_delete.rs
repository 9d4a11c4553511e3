use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_client::Prefix;
use stargate_sdk::{
    Action, ActionContext, ActionError, Difference, Nature, Permission, Preview, Recovery, RequiredPermissions,
};

use crate::{
    actions::{
        subnet::{SUBNET, prefixes_of},
        virtual_network::VirtualNetworkInput,
    },
    arm_resource::ArmResource,
    client::{ArmClient, ArmObject, GroupName, NetworkName, Precondition, ResourceId, VnetName},
    permission::arm,
};

/// Action `azure.subnet.delete`: deletes a subnet that nothing uses.
pub(crate) struct SubnetDelete(pub(crate) ArmClient);

/// The subnet to delete.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubnetDeleteInput {
    /// Resource group of the virtual network.
    resource_group: GroupName,
    /// Name of the virtual network.
    virtual_network: VnetName,
    /// Name of the subnet.
    name: NetworkName,
    /// Prefix of the subnet. A subnet with another one is kept.
    prefix: Prefix,
}

/// Result of the deletion.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SubnetDeleteOutput {
    /// False if there was no subnet to delete.
    pub deleted: bool,
}

impl SubnetDelete {
    fn network(&self, input: &SubnetDeleteInput) -> ResourceId {
        self.0.group(&input.resource_group).resource(VirtualNetworkInput::TYPE, &input.virtual_network)
    }

    /// Reads the subnet; `None` if it does not exist.
    ///
    /// # Errors
    /// `Permanent`, if it has another prefix.
    async fn read(&self, cx: &ActionContext, input: &SubnetDeleteInput) -> Result<Option<ArmObject>, ActionError> {
        let id = self.network(input).child(SUBNET, &input.name);
        let Some(subnet) = self.0.get_settled(cx, &id).await? else { return Ok(None) };
        let actual = prefixes_of(&subnet);
        if actual == [input.prefix] {
            return Ok(Some(subnet));
        }
        let actual: Vec<String> = actual.iter().map(Prefix::to_string).collect();
        Err(ActionError::permanent(format!("it has the prefix {}, not {}", actual.join(", "), input.prefix))
            .with_hint("check it in azure; if it must be deleted as well, delete it there")
            .context(id.label()))
    }
}

impl Action for SubnetDelete {
    type Input = SubnetDeleteInput;
    type Output = SubnetDeleteOutput;
    const NAME: &'static str = "azure.subnet.delete";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Ensure;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Deletes a subnet that has the given prefix and that nothing uses.";

    async fn run(&self, cx: &ActionContext, input: &SubnetDeleteInput) -> Result<SubnetDeleteOutput, ActionError> {
        if let Some(checkpoint) = cx.checkpoint() {
            self.0.resume(cx, checkpoint, &[SUBNET]).await?;
        }
        let _guard = self.0.lock_for_write(cx, &[&self.network(input)]).await?;
        let Some(subnet) = self.read(cx, input).await? else { return Ok(SubnetDeleteOutput { deleted: false }) };
        check_unused(&subnet)?;
        self.0.delete(cx, &subnet.id, Precondition::unchanged(&subnet)).await?;
        cx.changed(format!("- {}", subnet.id.label()));
        Ok(SubnetDeleteOutput { deleted: true })
    }

    // Users of the subnet are not reported: earlier steps delete them.
    async fn preview(&self, cx: &ActionContext, input: &SubnetDeleteInput) -> Result<Preview, ActionError> {
        match self.read(cx, input).await? {
            None => Preview::unchanged(&SubnetDeleteOutput { deleted: false }),
            Some(subnet) => {
                Ok(Preview::changes(vec![Difference::new(subnet.id.label(), input.prefix.to_string(), Value::Null)]))
            }
        }
    }
}

impl RequiredPermissions for SubnetDelete {
    const PERMISSIONS: &'static [Permission] = &[
        arm("Microsoft.Network/virtualNetworks/subnets/read"),
        arm("Microsoft.Network/virtualNetworks/subnets/delete"),
        arm("Microsoft.Network/locations/operations/read"),
    ];
}

/// Checks that no machine has an address in the subnet.
///
/// # Errors
/// `Permanent`, with one that has. Azure would refuse the deletion with a less clear message.
fn check_unused(subnet: &ArmObject) -> Result<(), ActionError> {
    match subnet.items("/properties/ipConfigurations").iter().find_map(|user| user["id"].as_str()) {
        None => Ok(()),
        Some(user) => Err(ActionError::permanent(format!("{user} has an address in it"))
            .with_hint("delete that resource first, or keep the subnet")
            .context(subnet.id.label())),
    }
}
