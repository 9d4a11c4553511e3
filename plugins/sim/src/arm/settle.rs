use jiff::Timestamp;

use crate::arm::compute;
use crate::arm::consequences::{perform, remove, remove_group};
use crate::arm::deployment;
use crate::arm::render::render;
use crate::arm::resource_types::behaviour;
use crate::arm::store::{Arm, Family, OperationStatus, OperationWork, PowerAction};

/// Finishes the operations that are due at `now`, the earliest first, and continues running
/// deployments.
pub(crate) fn settle(arm: &mut Arm, now: Timestamp) {
    let mut due: Vec<(Timestamp, String)> = arm
        .operations
        .values()
        .filter(|operation| operation.status == OperationStatus::InProgress && operation.due <= now)
        .map(|operation| (operation.due, operation.id.clone()))
        .collect();
    due.sort();
    for (_, id) in due {
        finish(arm, &id);
    }
    deployment::advance(arm, now);
}

/// Returns the time at which the next operation is due, or `None` if no operation is in progress.
pub(crate) fn next_due(arm: &Arm) -> Option<Timestamp> {
    arm.operations
        .values()
        .filter(|operation| operation.status == OperationStatus::InProgress)
        .map(|operation| operation.due)
        .min()
}

/// Makes the URL of every finished operation answer 404.
pub(crate) fn expire_operations(arm: &mut Arm) {
    for operation in arm.operations.values_mut().filter(|operation| operation.status != OperationStatus::InProgress) {
        operation.expired = true;
    }
}

/// Finishes one operation: its effect, then its status and output.
fn finish(arm: &mut Arm, id: &str) {
    let Some(operation) = arm.operations.get(id).cloned() else { return };
    let failed = operation.fails.is_some();
    match operation.work {
        OperationWork::Write { created } => finish_write(arm, &operation.target, created, failed),
        OperationWork::Delete | OperationWork::Power(_) if failed => set_state(arm, &operation.target, "Failed"),
        OperationWork::Delete => remove(arm, &operation.target),
        OperationWork::Power(power) => finish_power(arm, &operation.target, power),
        OperationWork::DeleteGroup if failed => restore_group(arm, &operation.target),
        OperationWork::DeleteGroup => remove_group(arm, &operation.target),
    }
    let output = (operation.family == Family::Disk && !failed)
        .then(|| arm.find(&operation.target).map(|disk| render(arm, disk)))
        .flatten();
    if let Some(operation) = arm.operations.get_mut(id) {
        operation.status = if failed { OperationStatus::Failed } else { OperationStatus::Succeeded };
        operation.output = output;
    }
}

/// Sets the provisioning state of a resource and gives it a new etag.
fn set_state(arm: &mut Arm, id: &str, state: &str) {
    if let Some(resource) = arm.find_mut(id) {
        state.clone_into(&mut resource.state);
    }
    arm.touch(id);
}

/// Finishes a write of a resource and of those children that it changed.
fn finish_write(arm: &mut Arm, id: &str, created: bool, failed: bool) {
    let state = if failed { "Failed" } else { "Succeeded" };
    let prefix = format!("{}/", id.to_ascii_lowercase());
    let children: Vec<String> = arm
        .resources
        .range(prefix.clone()..)
        .take_while(|(key, _)| key.starts_with(&prefix))
        .filter(|(_, resource)| !resource.is_settled())
        .map(|(key, _)| key.clone())
        .collect();
    for child in children {
        set_state(arm, &child, state);
    }
    set_state(arm, id, state);
    if !failed && let Some(resource) = arm.find(id) {
        let consequences = (behaviour(resource.kind).finish)(arm, resource, created);
        perform(arm, consequences);
    }
}

/// Finishes a change of a machine's power.
fn finish_power(arm: &mut Arm, id: &str, power: PowerAction) {
    let Some(machine) = arm.find_mut(id) else { return };
    "Succeeded".clone_into(&mut machine.state);
    let consequences = compute::finish_power(machine, power);
    perform(arm, consequences);
}

/// Makes a group writable again after its deletion failed.
fn restore_group(arm: &mut Arm, name: &str) {
    if let Some(group) = arm.groups.get_mut(&name.to_ascii_lowercase()) {
        "Succeeded".clone_into(&mut group.state);
    }
}
