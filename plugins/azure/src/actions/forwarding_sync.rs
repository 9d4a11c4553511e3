use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_sdk::{ActionContext, ActionError, Difference, Permission};

use crate::{
    actions::network_interface::{NETWORK_INTERFACE, interface_permissions},
    arm_resource::ArmEnsure,
    client::{ArmClient, ArmObject, GroupName, Precondition, ResourceId, ResourceType, VmName},
};

/// Machines whose network interfaces must forward packets for other addresses.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForwardingInput {
    /// Resource group of the machines' network interfaces.
    resource_group: GroupName,
    /// Names of the machines. The interfaces of others are not changed.
    machines: Vec<VmName>,
}

/// Machines whose network interfaces forward packets.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ForwardingOutput {
    /// Names of the machines.
    pub machines: Vec<String>,
}

impl ArmEnsure for ForwardingInput {
    /// Network interfaces of the machines. A machine without one fails the action at its end: the
    /// other ones are changed.
    type Actual = Vec<ArmObject>;
    type Output = ForwardingOutput;
    const NAME: &'static str = "azure.forwarding.sync";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that machines' network interfaces forward packets for other addresses.";
    const TYPES: &'static [ResourceType] = &[NETWORK_INTERFACE];

    fn permissions() -> Vec<Permission> {
        interface_permissions()
    }

    async fn read(&self, cx: &ActionContext, arm: &ArmClient) -> Result<Option<Vec<ArmObject>>, ActionError> {
        let group = arm.group(&self.resource_group);
        let mut nics = arm.list_in(cx, &group, NETWORK_INTERFACE).await?;
        nics.retain(|nic| self.machines.iter().any(|machine| belongs_to(nic, machine.as_str())));
        Ok(Some(nics))
    }

    fn diff(&self, _: &ArmClient, actual: Option<&Vec<ArmObject>>) -> Result<Vec<Difference>, ActionError> {
        let off = actual.into_iter().flatten().filter(|nic| !forwards(nic));
        Ok(off.map(|nic| Difference::new(format!("ip forwarding of {}", nic.id.label()), false, true)).collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        arm: &ArmClient,
        actual: Option<&Vec<ArmObject>>,
    ) -> Result<(), ActionError> {
        for nic in actual.into_iter().flatten().filter(|nic| !forwards(nic)) {
            enable_forwarding(cx, arm, &nic.id).await?;
        }
        Ok(())
    }

    fn output(
        &self,
        _: &ActionContext,
        arm: &ArmClient,
        nics: &Vec<ArmObject>,
    ) -> Result<ForwardingOutput, ActionError> {
        let machines = self.machines.iter().map(VmName::as_str);
        let missing: Vec<&str> = machines.filter(|name| !nics.iter().any(|nic| belongs_to(nic, name))).collect();
        if !missing.is_empty() {
            return Err(no_interface_error(&missing, &arm.group(&self.resource_group)));
        }
        Ok(ForwardingOutput { machines: self.machines.iter().map(ToString::to_string).collect() })
    }

    fn certain(&self, _: &ArmClient) -> Value {
        json!({ "machines": self.machines.iter().map(ToString::to_string).collect::<Vec<_>>() })
    }
}

/// Enables IP forwarding of an interface, which is read again: an item of a list lacks properties
/// that a PUT must keep.
async fn enable_forwarding(cx: &ActionContext, arm: &ArmClient, id: &ResourceId) -> Result<(), ActionError> {
    let _guard = arm.lock_for_write(cx, &[id]).await?;
    let Some(nic) = arm.get_settled(cx, id).await?.filter(|nic| !forwards(nic)) else { return Ok(()) };
    let precondition = Precondition::unchanged(&nic);
    let mut body = nic.body;
    body["properties"]["enableIPForwarding"] = true.into();
    arm.put(cx, &nic.id, body, precondition).await
}

/// True if IP forwarding is enabled. An absent property means that it is not.
fn forwards(nic: &ArmObject) -> bool {
    nic.body.pointer("/properties/enableIPForwarding") == Some(&Value::Bool(true))
}

/// True if the interface belongs to the machine of this name; Azure compares names without case.
fn belongs_to(nic: &ArmObject, machine: &str) -> bool {
    nic.id_at("/properties/virtualMachine/id").is_some_and(|id| id.name().eq_ignore_ascii_case(machine))
}

/// Error of machines that do not exist, or are in another resource group.
fn no_interface_error(machines: &[&str], group: &ResourceId) -> ActionError {
    let names: Vec<String> = machines.iter().map(|name| format!("{name:?}")).collect();
    let names = names.join(", ");
    ActionError::permanent(format!("no network interface in {} belongs to a machine {names}", group.label()))
        .with_hint("create the machine, or delete its Server object if it is gone permanently")
}
