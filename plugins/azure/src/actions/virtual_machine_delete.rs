use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_sdk::{
    Action, ActionContext, ActionError, Difference, Nature, Permission, Preview, Recovery, RequiredPermissions,
};

use crate::{
    actions::{
        network_interface::{NETWORK_INTERFACE, private_address},
        virtual_machine::{HOST_KEY_TAG, VIRTUAL_MACHINE, host_key_tag},
    },
    client::{ArmClient, ArmObject, GroupName, NetworkName, Precondition, ResourceId, VmName},
    machine::without_comment,
    permission::arm,
};

/// Action `azure.virtual_machine.delete`: deletes a machine and then its network interface.
///
/// Azure refuses to delete an interface in use. Each is deleted only if it is unchanged since it
/// was read, so that an attempt after a crash finds either the same object or none.
pub(crate) struct VirtualMachineDelete(pub(crate) ArmClient);

/// Machine to delete, with what identifies it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MachineDeleteInput {
    /// Resource group of the machine.
    resource_group: GroupName,
    /// Name of the machine.
    name: VmName,
    /// SSH host key of the machine, in OpenSSH's one-line form. A machine with another one, or
    /// none, is kept.
    host_key: String,
    /// Name of its network interface.
    network_interface: NetworkName,
    /// Private address of the interface. An interface with another one is kept.
    private_ip: IpAddr,
}

/// Objects that were deleted.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct MachineDeleteOutput {
    /// Ids of the objects that this attempt deleted; empty if none existed.
    pub deleted: Vec<String>,
}

impl VirtualMachineDelete {
    /// Reads the machine; `None` if it does not exist.
    ///
    /// # Errors
    /// `Permanent`, if its host key is not the one of the input.
    async fn machine(&self, cx: &ActionContext, input: &MachineDeleteInput) -> Result<Option<ArmObject>, ActionError> {
        let id = self.0.group(&input.resource_group).resource(VIRTUAL_MACHINE, &input.name);
        let Some(machine) = self.0.get_settled(cx, &id).await? else { return Ok(None) };
        let key = host_key_tag(&machine);
        if key.is_some() && key == without_comment(&input.host_key) {
            return Ok(Some(machine));
        }
        Err(mismatch_error(&id, &format!("its tag {HOST_KEY_TAG} is not the host key that is registered")))
    }

    /// Reads the network interface; `None` if it does not exist.
    ///
    /// # Errors
    /// `Permanent`, if its private address is not the one of the input.
    async fn interface(
        &self,
        cx: &ActionContext,
        input: &MachineDeleteInput,
    ) -> Result<Option<ArmObject>, ActionError> {
        let id = self.0.group(&input.resource_group).resource(NETWORK_INTERFACE, &input.network_interface);
        let Some(interface) = self.0.get_settled(cx, &id).await? else { return Ok(None) };
        let address = private_address(&interface).unwrap_or_default();
        if address == input.private_ip.to_string() {
            return Ok(Some(interface));
        }
        Err(mismatch_error(&id, &format!("its address is {address}, not {}", input.private_ip)))
    }

    /// Deletes an object as it was read, and reports the change. Returns its id.
    async fn delete(&self, cx: &ActionContext, object: &ArmObject) -> Result<String, ActionError> {
        self.0.delete(cx, &object.id, Precondition::unchanged(object)).await?;
        cx.changed(format!("- {}", object.id.label()));
        Ok(object.id())
    }
}

impl Action for VirtualMachineDelete {
    type Input = MachineDeleteInput;
    type Output = MachineDeleteOutput;
    const NAME: &'static str = "azure.virtual_machine.delete";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Ensure;
    const RECOVERY: Recovery = Recovery::Repeat;
    const DELETES: Option<&'static str> = Some("machine");
    const SUMMARY: &'static str =
        "Deletes a machine that carries the given host key, with its disk and its network interface.";

    async fn run(&self, cx: &ActionContext, input: &MachineDeleteInput) -> Result<MachineDeleteOutput, ActionError> {
        if let Some(checkpoint) = cx.checkpoint() {
            self.0.resume(cx, checkpoint, &[VIRTUAL_MACHINE, NETWORK_INTERFACE]).await?;
        }
        // Both are identified before either is deleted.
        let interface = self.interface(cx, input).await?;
        let mut deleted = Vec::new();
        if let Some(machine) = self.machine(cx, input).await? {
            deleted.push(self.delete(cx, &machine).await?);
        }
        // Read again: deleting the machine has changed the interface.
        if interface.is_some()
            && let Some(interface) = self.interface(cx, input).await?
        {
            deleted.push(self.delete(cx, &interface).await?);
        }
        Ok(MachineDeleteOutput { deleted })
    }

    async fn preview(&self, cx: &ActionContext, input: &MachineDeleteInput) -> Result<Preview, ActionError> {
        let existing = [self.machine(cx, input).await?, self.interface(cx, input).await?];
        let deletion = |object: &ArmObject| Difference::new(object.id.label(), "exists", Value::Null);
        let differences: Vec<Difference> = existing.iter().flatten().map(deletion).collect();
        if differences.is_empty() {
            return Preview::unchanged(&MachineDeleteOutput { deleted: Vec::new() });
        }
        Ok(Preview::changes(differences))
    }
}

impl RequiredPermissions for VirtualMachineDelete {
    const PERMISSIONS: &'static [Permission] = &[
        arm("Microsoft.Compute/virtualMachines/read"),
        arm("Microsoft.Compute/virtualMachines/delete"),
        arm("Microsoft.Compute/locations/operations/read"),
        arm("Microsoft.Network/networkInterfaces/read"),
        arm("Microsoft.Network/networkInterfaces/delete"),
        arm("Microsoft.Network/locations/operations/read"),
    ];
}

/// Error of an object with the right name that is not the registered one. It is kept.
fn mismatch_error(id: &ResourceId, reason: &str) -> ActionError {
    ActionError::permanent(format!("it is not the registered one: {reason}"))
        .context(id.label())
        .with_hint("check it in azure; if it must be deleted as well, delete it there")
}
