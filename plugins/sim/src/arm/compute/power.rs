use serde_json::json;

use crate::arm::call::{Answer, Call, Reply};
use crate::arm::compute::instance_view::instance_view;
use crate::arm::compute::{sizes, with_limits};
use crate::arm::error::ArmError;
use crate::arm::kind::Kind;
use crate::arm::operation::{self, Announce, Power, Work};
use crate::arm::store::Arm;
use crate::arm::{group, write};
use crate::event::Event;

/// Answers what can be asked of a machine beside reading and writing it.
pub(crate) fn machine_action(arm: &mut Arm, call: &Call, method: &str, id: &str, verb: &str) -> Answer {
    let power = match (method, verb) {
        ("GET", "instanceview") => return Ok(view(arm, call, id)),
        ("GET", "vmsizes") => return Ok(sizes()),
        ("GET", "runcommands" | "extensions") => return Ok(Reply::json(200, json!({ "value": [] }))),
        ("POST", "start") => Power::Start,
        ("POST", "restart") => Power::Restart,
        ("POST", "poweroff") => Power::Stop,
        ("POST", "deallocate") => Power::Deallocate,
        ("POST", "redeploy") => Power::Redeploy,
        ("POST", "runcommand") => return Err(no_agent(id)),
        (method, _) => return Err(ArmError::method_not_allowed(method)),
    };
    group::writable(arm, crate::arm::store::group_of(id))?;
    write::check_idle(arm, call, Kind::VirtualMachine, id)?;
    let Some(machine) = arm.find_mut(id) else { return Ok(Reply::empty(204)) };
    machine.hidden.insert("power".to_owned(), json!(passing(power)));
    "Updating".clone_into(&mut machine.state);
    let (id, location) = (machine.id.clone(), machine.location().to_owned());
    let operation = operation::begin(arm, call, Kind::VirtualMachine, &id, &location, Work::Power(power));
    Ok(with_limits(operation::announce(arm, call, Reply::empty(202), &operation, Announce::Both)))
}

fn view(arm: &Arm, call: &Call, id: &str) -> Reply {
    with_limits(Reply::json(200, arm.find(id).map_or(json!({}), |machine| instance_view(arm, machine, call.now))))
}

/// A simulated machine takes commands over SSH only: an answer that pretends to have run one would be a lie.
fn no_agent(id: &str) -> ArmError {
    let message = format!(
        "Cannot run the command on {id}: the guest agent of a machine in the simulated world does not take run commands. Use SSH."
    );
    ArmError::new(409, "OperationNotAllowed", message)
}

fn passing(power: Power) -> &'static str {
    match power {
        Power::Start | Power::Restart | Power::Redeploy => "starting",
        Power::Stop => "stopping",
        Power::Deallocate => "deallocating",
    }
}

/// What is true once the machine's power changed.
pub(crate) fn finish_power(arm: &mut Arm, id: &str, power: Power) {
    let Some(machine) = arm.find_mut(id) else { return };
    let state = match power {
        Power::Start | Power::Restart | Power::Redeploy => "running",
        Power::Stop => "stopped",
        Power::Deallocate => "deallocated",
    };
    machine.hidden.insert("power".to_owned(), json!(state));
    "Succeeded".clone_into(&mut machine.state);
    machine.version += 1;
    let name = machine.name.clone();
    if state == "running" {
        arm.announced.pending.push(Event::MachineRestarted { name });
    }
}
