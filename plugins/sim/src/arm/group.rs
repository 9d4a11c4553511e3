use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::arm::error::ArmError;
use crate::arm::json::Object;
use crate::arm::operation::{self};
use crate::arm::request::{ArmCall, ArmReply, ArmResult};
use crate::arm::retry_after::retry_after;
use crate::arm::store::{Arm, Family, OperationStatus, OperationWork, StoredGroup, StoredOperation};
use crate::arm::subscription::normal_location;

/// Duration of a deletion in the real service, in seconds.
const DELETE_SECONDS: f64 = 15.0;

/// Maximum length of a group's name.
const NAME_LIMIT: usize = 90;

/// Answers a request for one group.
pub(crate) fn answer(arm: &mut Arm, call: &ArmCall, method: &str, name: &str) -> ArmResult {
    match method {
        "HEAD" => Ok(ArmReply::empty(if find(arm, name).is_ok() { 204 } else { 404 })),
        "GET" => find(arm, name).map(|group| ArmReply::json(200, body(arm, group))),
        "PUT" => put(arm, call, name),
        "PATCH" => patch(arm, call, name),
        "DELETE" => delete(arm, call, name),
        other => Err(ArmError::method_not_allowed(other)),
    }
}

/// Returns a group.
///
/// # Errors
/// 404 if it does not exist.
pub(crate) fn find<'a>(arm: &'a Arm, name: &str) -> Result<&'a StoredGroup, ArmError> {
    arm.groups.get(&name.to_ascii_lowercase()).ok_or_else(|| ArmError::group_not_found(name))
}

/// Returns the group, for a write into it.
///
/// # Errors
/// 404 if it does not exist, 409 while it is being deleted.
pub(crate) fn writable(arm: &Arm, name: &str) -> Result<StoredGroup, ArmError> {
    let group = find(arm, name)?;
    if group.state == "Deleting" {
        let message =
            format!("The resource group '{name}' is in deprovisioning state and cannot perform this operation.");
        return Err(ArmError::gateway(409, "ResourceGroupBeingDeleted", message));
    }
    Ok(group.clone())
}

/// Lists the groups by name.
pub(crate) fn list(arm: &Arm) -> ArmReply {
    let value: Vec<Value> = arm.groups.values().map(|group| body(arm, group)).collect();
    ArmReply::json(200, json!({ "value": value }))
}

/// Returns the JSON of a group.
fn body(arm: &Arm, group: &StoredGroup) -> Value {
    let mut body = json!({
        "id": format!("/subscriptions/{}/resourceGroups/{}", arm.subscription, group.name),
        "name": group.name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": group.location,
    });
    if let Some(manager) = &group.managed_by {
        body["managedBy"] = json!(manager);
    }
    if let Some(tags) = &group.tags {
        body["tags"] = tags.clone();
    }
    body["properties"] = json!({ "provisioningState": group.state });
    body
}

/// Creates a group or changes its tags.
fn put(arm: &mut Arm, call: &ArmCall, name: &str) -> ArmResult {
    let object = call.object()?;
    let location = location(&object)?;
    let valid = name.chars().all(|character| character.is_alphanumeric() || "-_.()".contains(character));
    if !valid || name.len() > NAME_LIMIT || name.ends_with('.') {
        let message = format!("The provided resource group name '{name}' has these invalid characters or is too long.");
        return Err(ArmError::gateway(400, "InvalidResourceGroup", message));
    }
    let tags = object.get("tags").filter(|tags| !tags.is_null()).cloned();
    let status = if find(arm, name).is_ok() { 200 } else { 201 };
    if status == 200 {
        let group = writable(arm, name)?;
        if group.location != location {
            let message = format!(
                "Invalid resource group location '{location}'. The Resource group already exists in location '{}'.",
                group.location
            );
            return Err(ArmError::gateway(409, "InvalidResourceGroupLocation", message));
        }
    }
    let managed_by = object.get("managedBy").and_then(Value::as_str).map(str::to_owned);
    arm.put_group(name, &location, tags, managed_by);
    find(arm, name).map(|group| ArmReply::json(status, body(arm, group)))
}

/// Returns the location in a body, which is required.
fn location(object: &Object) -> Result<String, ArmError> {
    let text = object.get("location").and_then(Value::as_str);
    let text = text.ok_or_else(|| {
        ArmError::gateway(400, "LocationRequired", "The location property is required for this definition.")
    })?;
    normal_location(text).map(str::to_owned).ok_or_else(|| {
        let message = format!("The provided location '{text}' is not available for resource group.");
        ArmError::gateway(400, "LocationNotAvailableForResourceGroup", message)
    })
}

/// Changes the tags of a group.
fn patch(arm: &mut Arm, call: &ArmCall, name: &str) -> ArmResult {
    let tags = call.object()?.get("tags").cloned();
    writable(arm, name)?;
    if let (Some(group), Some(tags)) = (arm.groups.get_mut(&name.to_ascii_lowercase()), tags) {
        group.tags = Some(tags);
    }
    find(arm, name).map(|group| ArmReply::json(200, body(arm, group)))
}

/// Starts the deletion of a group. Its operation is a job of ARM itself, with `Location` alone.
fn delete(arm: &mut Arm, call: &ArmCall, name: &str) -> ArmResult {
    let group = find(arm, name)?.clone();
    let running = arm.operations.values().find(|operation| {
        operation.work == OperationWork::DeleteGroup
            && operation.status == OperationStatus::InProgress
            && operation.target == group.name
    });
    let id = match running {
        Some(operation) => operation.id.clone(),
        None => begin(arm, call, &group),
    };
    let reply = ArmReply::empty(202).with_header("Location", url(arm, call, &id));
    Ok(reply.with_header("Retry-After", deletion_retry_after(arm)))
}

/// Starts the operation of a deletion and returns its id: an encoded job, as ARM has it.
fn begin(arm: &mut Arm, call: &ArmCall, group: &StoredGroup) -> String {
    let escaped = group.name.to_ascii_uppercase().replace('-', ":2D").replace('_', ":5F");
    let region = group.location.to_ascii_uppercase();
    let unique = arm.guid();
    let job = format!(
        "{{\"jobId\":\"RESOURCEGROUPDELETIONJOB-{escaped}-{region}-{unique}\",\"jobLocation\":\"{}\"}}",
        group.location
    );
    let id = URL_SAFE_NO_PAD.encode(job);
    if let Some(stored) = arm.groups.get_mut(&group.name.to_ascii_lowercase()) {
        "Deleting".clone_into(&mut stored.state);
    }
    let operation = StoredOperation {
        id: id.clone(),
        family: Family::Network,
        namespace: String::new(),
        location: group.location.clone(),
        api_version: call.api_version().to_owned(),
        target: group.name.clone(),
        root: format!("group/{}", group.name.to_ascii_lowercase()),
        work: OperationWork::DeleteGroup,
        started: call.now,
        due: operation::due(call, arm.speed, DELETE_SECONDS),
        status: OperationStatus::InProgress,
        output: None,
        fails: call.fault.fails.clone(),
        expired: false,
    };
    arm.operations.insert(id.clone(), operation);
    id
}

/// Returns the signed URL of a deletion.
fn url(arm: &Arm, call: &ArmCall, id: &str) -> String {
    let signature = operation::signature(arm.seed, id);
    let version = arm.operations.get(id).map_or("", |operation| operation.api_version.as_str());
    format!("{}/subscriptions/{}/operationresults/{id}?api-version={version}&{signature}", call.base, arm.subscription)
}

fn deletion_retry_after(arm: &Arm) -> String {
    // The real one says 15.
    retry_after(15.0, arm.speed)
}

/// Answers a poll of a deletion: 202 until it has finished, then 200 without a body.
pub(crate) fn poll(arm: &Arm, call: &ArmCall, id: &str) -> ArmResult {
    let operation =
        arm.operations.get(id).filter(|operation| !operation.expired && operation.work == OperationWork::DeleteGroup);
    let operation = operation.filter(|operation| operation::is_verbatim(arm.seed, id, &operation.api_version, call));
    match operation.map(|operation| operation.status) {
        Some(OperationStatus::InProgress) => Ok(ArmReply::empty(202)
            .with_header("Location", url(arm, call, id))
            .with_header("Retry-After", deletion_retry_after(arm))),
        Some(OperationStatus::Succeeded) => Ok(ArmReply::empty(200)),
        Some(OperationStatus::Failed) => {
            let message = "Deletion of resource group failed as resources could not be deleted. Please see details.";
            Err(ArmError::gateway(409, "ResourceGroupDeletionBlocked", message))
        }
        None => Err(ArmError::gateway(404, "NotFound", "The operation result could not be found.")),
    }
}
