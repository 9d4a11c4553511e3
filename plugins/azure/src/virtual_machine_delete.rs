use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_sdk::{
    Action, ActionContext, ActionError, Difference, Permission, Preview, Recovery, RequiredPermissions,
};

use crate::{
    ArmClient,
    arm::Condition,
    host_key::without_comment,
    live::Live,
    name::{GroupName, NetworkName, VmName},
    network_interface::{NIC, private_address},
    permission::{COMPUTE_OPERATIONS, NETWORK_OPERATIONS, arm},
    virtual_machine::{HOST_KEY_TAG, MACHINE},
};

/// `azure.virtual_machine.delete`.
///
/// The machine goes before its network interface, which Azure does not give up while it is in use. Each is deleted only as
/// it was read, so that an attempt that goes on after a crash finds either what was meant or nothing.
pub(crate) struct VirtualMachineDelete(pub(crate) ArmClient);

/// Which machine, and how it is known to be the one that is meant.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MachineDeleteInput {
    /// Resource group of the machine.
    resource_group: GroupName,
    /// Name of the machine.
    name: VmName,
    /// Its SSH host key, in OpenSSH's one-line form: a machine that carries another one, or none, stays.
    host_key: String,
    /// Name of its network interface.
    network_interface: NetworkName,
    /// Private address of that: one with another address stays.
    private_ip: IpAddr,
}

/// What was deleted.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct MachineDeleteOutput {
    /// Ids of what this attempt deleted; none when all of it was gone already.
    pub deleted: Vec<String>,
}

impl VirtualMachineDelete {
    async fn machine(&self, cx: &ActionContext, input: &MachineDeleteInput) -> Result<Option<Live>, ActionError> {
        let id = self.0.group(&input.resource_group).resource(MACHINE, &input.name);
        let Some(live) = self.0.get_settled(cx, &id).await? else { return Ok(None) };
        let tag = live.body["tags"][HOST_KEY_TAG].as_str().and_then(without_comment);
        match tag {
            Some(tag) if Some(&tag) == without_comment(&input.host_key).as_ref() => Ok(Some(live)),
            _ => Err(another(&live, &format!("its tag {HOST_KEY_TAG} is not the host key that is registered"))),
        }
    }

    async fn interface(&self, cx: &ActionContext, input: &MachineDeleteInput) -> Result<Option<Live>, ActionError> {
        let id = self.0.group(&input.resource_group).resource(NIC, &input.network_interface);
        let Some(live) = self.0.get_settled(cx, &id).await? else { return Ok(None) };
        let address = private_address(&live);
        if address.as_deref() == Some(input.private_ip.to_string().as_str()) {
            return Ok(Some(live));
        }
        Err(another(&live, &format!("its address is {}, not {}", address.unwrap_or_default(), input.private_ip)))
    }

    async fn delete(&self, cx: &ActionContext, live: &Live) -> Result<String, ActionError> {
        self.0.delete(cx, &live.id, Condition::unchanged(live)).await?;
        cx.changed(format!("- {}", live.id.label()));
        Ok(live.id())
    }
}

impl Action for VirtualMachineDelete {
    type Input = MachineDeleteInput;
    type Output = MachineDeleteOutput;
    const NAME: &'static str = "azure.virtual_machine.delete";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str =
        "Deletes a machine that carries the given host key, with its disk and its network interface.";

    async fn run(&self, cx: &ActionContext, input: &MachineDeleteInput) -> Result<MachineDeleteOutput, ActionError> {
        if let Some(begun) = cx.checkpoint() {
            self.0.resume(cx, begun).await?;
        }
        let interface = self.interface(cx, input).await?;
        let mut deleted = Vec::new();
        if let Some(machine) = self.machine(cx, input).await? {
            deleted.push(self.delete(cx, &machine).await?);
        }
        // What was read of it before its machine has gone is not how it is now.
        if interface.is_some()
            && let Some(interface) = self.interface(cx, input).await?
        {
            deleted.push(self.delete(cx, &interface).await?);
        }
        Ok(MachineDeleteOutput { deleted })
    }

    async fn preview(&self, cx: &ActionContext, input: &MachineDeleteInput) -> Result<Preview, ActionError> {
        let there = [self.machine(cx, input).await?, self.interface(cx, input).await?];
        let gone = |live: &Live| Difference::new(live.id.label(), "there", Value::Null);
        let differences: Vec<Difference> = there.iter().flatten().map(gone).collect();
        if differences.is_empty() {
            return Preview::unchanged(&MachineDeleteOutput { deleted: Vec::new() });
        }
        Ok(Preview::Changes { differences })
    }
}

impl RequiredPermissions for VirtualMachineDelete {
    const PERMISSIONS: &'static [Permission] = &[
        arm("Microsoft.Compute/virtualMachines/read"),
        arm("Microsoft.Compute/virtualMachines/delete"),
        arm("Microsoft.Network/networkInterfaces/read"),
        arm("Microsoft.Network/networkInterfaces/delete"),
        COMPUTE_OPERATIONS,
        NETWORK_OPERATIONS,
    ];
}

fn another(live: &Live, why: &str) -> ActionError {
    ActionError::permanent(format!("it is another one than the registered: {why}"))
        .context(live.id.label())
        .with_hint("look at it in azure; if it is to go all the same, delete it there")
}
