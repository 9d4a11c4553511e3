use serde_json::json;

use crate::arm::compute::{instance_view, sizes, with_limits};
use crate::arm::conditions::check_idle;
use crate::arm::error::ArmError;
use crate::arm::group;
use crate::arm::operation::{self, PollHeaders};
use crate::arm::request::{ArmCall, ArmReply, ArmResult};
use crate::arm::store::{Arm, ArmResourceType, OperationWork, PowerAction, group_of};

/// Answers a request for a view, a list or a change of power of a machine.
pub(crate) fn machine_action(arm: &mut Arm, call: &ArmCall, method: &str, id: &str, verb: &str) -> ArmResult {
    let power = match (method, verb) {
        ("GET", "instanceview") => return Ok(view(arm, call, id)),
        ("GET", "vmsizes") => return Ok(sizes()),
        ("GET", "runcommands" | "extensions") => return Ok(ArmReply::json(200, json!({ "value": [] }))),
        ("POST", "start") => PowerAction::Start,
        ("POST", "restart") => PowerAction::Restart,
        ("POST", "poweroff") => PowerAction::Stop,
        ("POST", "deallocate") => PowerAction::Deallocate,
        ("POST", "redeploy") => PowerAction::Redeploy,
        ("POST", "runcommand") => return Err(no_agent(id)),
        (method, _) => return Err(ArmError::method_not_allowed(method)),
    };
    group::writable(arm, group_of(id))?;
    check_idle(arm, call, ArmResourceType::VirtualMachine, id)?;
    let Some(machine) = arm.find_mut(id) else { return Ok(ArmReply::empty(204)) };
    machine.hidden.insert("power".to_owned(), json!(passing(power)));
    "Updating".clone_into(&mut machine.state);
    let (id, location) = (machine.id.clone(), machine.location().to_owned());
    let operation =
        operation::begin(arm, call, ArmResourceType::VirtualMachine, &id, &location, OperationWork::Power(power));
    Ok(with_limits(operation::with_poll_headers(arm, call, ArmReply::empty(202), &operation, PollHeaders::Both)))
}

/// Answers with the instance view of a machine.
fn view(arm: &Arm, call: &ArmCall, id: &str) -> ArmReply {
    with_limits(ArmReply::json(200, arm.find(id).map_or(json!({}), |machine| instance_view(arm, machine, call.now))))
}

/// Returns the refusal of a run command. Simulated machines accept commands over SSH only; a
/// pretended run would be wrong.
fn no_agent(id: &str) -> ArmError {
    let message = format!(
        "Cannot run the command on {id}: the guest agent of a machine in the simulated world does not take run commands. Use SSH."
    );
    ArmError::new(409, "OperationNotAllowed", message)
}

/// Returns the power state of a machine while the operation runs.
fn passing(power: PowerAction) -> &'static str {
    match power {
        PowerAction::Start | PowerAction::Restart | PowerAction::Redeploy => "starting",
        PowerAction::Stop => "stopping",
        PowerAction::Deallocate => "deallocating",
    }
}
