use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_sdk::{ActionContext, ActionError, Difference, Permission, RequiredPermissions, Resource};

use crate::{
    ArmClient, ResourceId,
    arm::Condition,
    live::Live,
    name::{GroupName, VmName},
    network_interface::NIC,
    permission::INTERFACE_WRITES,
};

const FORWARDS: &str = "/properties/enableIPForwarding";

/// `azure.forwarding.sync`.
pub(crate) struct ForwardingSync(pub(crate) ArmClient);

/// Which machines are to let through packets that are not their own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForwardingInput {
    /// Resource group of the machines' network interfaces.
    resource_group: GroupName,
    /// Names of the machines; others are left alone.
    machines: Vec<VmName>,
}

/// Machines that let packets through.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ForwardingOutput {
    /// Their names.
    pub machines: Vec<String>,
}

impl ForwardingSync {
    async fn switch_on(&self, cx: &ActionContext, nic: &Live) -> Result<(), ActionError> {
        let _writer = self.0.hold(cx, &[&nic.id]).await?;
        // What a list says of a resource is not all of it.
        let Some(live) = self.0.get_settled(cx, &nic.id).await?.filter(|live| !forwards(live)) else { return Ok(()) };
        let condition = Condition::unchanged(&live);
        let mut body = live.body;
        body["properties"]["enableIPForwarding"] = true.into();
        self.0.put(cx, &live.id, body, condition).await
    }
}

impl Resource for ForwardingSync {
    type Desired = ForwardingInput;
    /// The interfaces of the machines.
    type Actual = Vec<Live>;
    type Output = ForwardingOutput;
    const NAME: &'static str = "azure.forwarding.sync";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that machines' network interfaces let through packets of others.";

    async fn read(&self, cx: &ActionContext, wanted: &ForwardingInput) -> Result<Option<Vec<Live>>, ActionError> {
        let group = self.0.group(&wanted.resource_group);
        let listed = self.0.list_in(cx, &group, NIC).await?;
        let nics = listed.into_iter().filter_map(|body| {
            let id: ResourceId = body["id"].as_str()?.parse().ok()?;
            Some(Live::part(id, &body))
        });
        let nics: Vec<Live> =
            nics.filter(|nic| wanted.machines.iter().any(|machine| is_of(nic, machine.as_str()))).collect();
        match wanted.machines.iter().find(|machine| !nics.iter().any(|nic| is_of(nic, machine.as_str()))) {
            Some(machine) => Err(without_interface(machine.as_str(), &group)),
            None => Ok(Some(nics)),
        }
    }

    fn diff(&self, _: &ForwardingInput, actual: Option<&Vec<Live>>) -> Result<Vec<Difference>, ActionError> {
        let off = actual.into_iter().flatten().filter(|nic| !forwards(nic));
        Ok(off.map(|nic| Difference::new(format!("ip forwarding of {}", nic.id.label()), false, true)).collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        _: &ForwardingInput,
        actual: Option<&Vec<Live>>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        for nic in actual.into_iter().flatten().filter(|nic| !forwards(nic)) {
            self.switch_on(cx, nic).await?;
        }
        Ok(())
    }

    fn output(
        &self,
        _: &ActionContext,
        wanted: &ForwardingInput,
        _: &Vec<Live>,
    ) -> Result<ForwardingOutput, ActionError> {
        Ok(ForwardingOutput { machines: wanted.machines.iter().map(ToString::to_string).collect() })
    }

    async fn resume(&self, cx: &ActionContext, _: &ForwardingInput, checkpoint: Value) -> Result<(), ActionError> {
        self.0.resume(cx, checkpoint).await
    }
}

impl RequiredPermissions for ForwardingSync {
    const PERMISSIONS: &'static [Permission] = INTERFACE_WRITES;
}

fn forwards(nic: &Live) -> bool {
    nic.body.pointer(FORWARDS) == Some(&Value::Bool(true))
}

/// Whether the interface belongs to the machine of this name; names in Azure have no case.
fn is_of(nic: &Live, machine: &str) -> bool {
    nic.id_at("/properties/virtualMachine/id").is_some_and(|id| id.name().eq_ignore_ascii_case(machine))
}

fn without_interface(machine: &str, group: &ResourceId) -> ActionError {
    ActionError::permanent(format!("no network interface in {} belongs to a machine {machine:?}", group.label()))
        .with_hint("make the machine, or delete its Server object if it is gone for good")
}
