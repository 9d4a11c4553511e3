use jiff::Timestamp;
use serde_json::{Value, json};

use crate::arm::error::ArmError;
use crate::arm::operation::{is_verbatim, with_retry_after};
use crate::arm::render::render;
use crate::arm::request::{ArmCall, ArmReply, ArmResult};
use crate::arm::store::{Arm, Family, OperationStatus, OperationWork, StoredOperation};

/// Time after which a finished operation is forgotten, in seconds.
const KEPT_SECONDS: i64 = 24 * 3600;

/// Answers a poll of an operation's status or of its result.
pub(crate) fn poll(arm: &Arm, call: &ArmCall, id: &str) -> ArmResult {
    let operation = arm.operations.get(id).filter(|operation| !operation.expired && !is_stale(operation, call.now));
    let operation = operation
        .filter(|operation| is_verbatim(arm.seed, id, &operation.api_version, call))
        .ok_or_else(|| not_found(id))?;
    let of_result = call.segments.get(6).is_some_and(|segment| segment.eq_ignore_ascii_case("operationResults"));
    if of_result || call.query.contains_key("monitor") {
        Ok(result(arm, call, operation))
    } else {
        Ok(status(arm, operation))
    }
}

/// Returns the 404 for an unknown or expired operation.
fn not_found(id: &str) -> ArmError {
    ArmError::new(
        404,
        "OperationNotFound",
        format!("The entity was not found: operation '{id}' does not exist or has expired."),
    )
}

/// True if a finished operation is too old to be kept.
fn is_stale(operation: &StoredOperation, now: Timestamp) -> bool {
    operation.status != OperationStatus::InProgress && now.duration_since(operation.due).as_secs() > KEPT_SECONDS
}

/// Answers a poll of `Azure-AsyncOperation`.
fn status(arm: &Arm, operation: &StoredOperation) -> ArmReply {
    let word = match operation.status {
        OperationStatus::InProgress => "InProgress",
        OperationStatus::Succeeded => "Succeeded",
        OperationStatus::Failed => "Failed",
    };
    let mut body = json!({ "status": word });
    if operation.family != Family::Network {
        body["name"] = json!(operation.id);
        body["startTime"] = json!(operation.started.to_string());
    }
    if operation.family != Family::Network && operation.status != OperationStatus::InProgress {
        body["endTime"] = json!(operation.due.to_string());
    }
    if let Some(output) = &operation.output {
        body["properties"] = json!({ "output": output });
    }
    if operation.status == OperationStatus::Failed {
        body["error"] = failure(operation);
    }
    let reply = ArmReply::json(200, body);
    if operation.status == OperationStatus::InProgress { with_retry_after(arm, reply, operation.family) } else { reply }
}

/// Returns the error of a failed operation.
fn failure(operation: &StoredOperation) -> Value {
    let code = operation.fails.as_deref().unwrap_or("InternalServerError");
    json!({ "code": code, "message": format!("The operation on {} failed: {code}.", operation.target), "details": [] })
}

/// Answers a poll of `Location`.
fn result(arm: &Arm, call: &ArmCall, operation: &StoredOperation) -> ArmReply {
    match (operation.status, operation.work) {
        (OperationStatus::InProgress, _) => {
            with_retry_after(arm, ArmReply::empty(202), operation.family).with_header("Location", call.url.clone())
        }
        (OperationStatus::Failed, _) => ArmReply::json(409, json!({ "error": failure(operation) })),
        (OperationStatus::Succeeded, OperationWork::Delete) if operation.family != Family::Compute => {
            ArmReply::empty(204)
        }
        (OperationStatus::Succeeded, OperationWork::Delete | OperationWork::Power(_) | OperationWork::DeleteGroup) => {
            ArmReply::empty(200)
        }
        (OperationStatus::Succeeded, OperationWork::Write { .. }) => match arm.find(&operation.target) {
            Some(resource) => ArmReply::json(200, render(arm, resource)),
            None => ArmReply::empty(204),
        },
    }
}
