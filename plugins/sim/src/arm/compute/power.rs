use crate::arm::behaviour::{Consequences, PowerChange};
use crate::arm::store::{PowerAction, StoredResource};
use crate::event::Event;

/// Returns the consequences of a finished change of a machine's power; a started one boots again.
pub(crate) fn finish_power(machine: &StoredResource, power: PowerAction) -> Consequences {
    let state = match power {
        PowerAction::Start | PowerAction::Restart | PowerAction::Redeploy => "running",
        PowerAction::Stop => "stopped",
        PowerAction::Deallocate => "deallocated",
    };
    let restarted = (state == "running").then(|| Event::MachineRestarted { name: machine.name.clone() });
    Consequences {
        power: Some(PowerChange { machine: machine.id.clone(), state }),
        events: restarted.into_iter().collect(),
        ..Consequences::default()
    }
}
