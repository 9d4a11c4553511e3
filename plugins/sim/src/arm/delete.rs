use crate::arm::conditions::{check_conditions, check_idle};
use crate::arm::error::ArmError;
use crate::arm::operation::{self, PollHeaders};
use crate::arm::request::{ArmCall, ArmReply, ArmResult};
use crate::arm::resource_types::behaviour;
use crate::arm::store::{Arm, ArmResourceType, Family, OperationStatus, OperationWork, StoredResource};
use crate::arm::write::location_of;
use crate::arm::{compute, group};

/// Starts the deletion of a resource. An absent one answers 204, one that is being deleted the same
/// operation again.
pub(crate) fn delete(arm: &mut Arm, call: &ArmCall, kind: ArmResourceType, group: &str, id: &str) -> ArmResult {
    if behaviour(kind).prepare.is_none() {
        return Err(ArmError::method_not_allowed("DELETE"));
    }
    group::find(arm, group)?;
    let Some(resource) = arm.find_kind(id, kind).cloned() else { return Ok(ArmReply::empty(204)) };
    if let Some(running) = deletion(arm, &resource) {
        return Ok(operation::with_poll_headers(arm, call, ArmReply::empty(202), &running, PollHeaders::Both));
    }
    check_conditions(call, Some(&resource), &resource.id)?;
    check_idle(arm, call, kind, &resource.id)?;
    (behaviour(kind).check_unused)(arm, &resource)?;
    let location = location_of(arm, &resource);
    if let Some(stored) = arm.find_mut(id) {
        "Deleting".clone_into(&mut stored.state);
    }
    let operation = operation::begin(arm, call, kind, &resource.id, &location, OperationWork::Delete);
    let reply = operation::with_poll_headers(arm, call, ArmReply::empty(202), &operation, PollHeaders::Both);
    Ok(if kind.family() == Family::Compute { compute::with_limits(reply) } else { reply })
}

/// Returns the id of the deletion in progress.
fn deletion(arm: &Arm, resource: &StoredResource) -> Option<String> {
    let running = arm.operations.values().find(|operation| {
        operation.status == OperationStatus::InProgress
            && operation.work == OperationWork::Delete
            && operation.target.eq_ignore_ascii_case(&resource.id)
    });
    running.map(|operation| operation.id.clone())
}
