use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::arm::call::{Answer, Call, Reply};
use crate::arm::error::ArmError;
use crate::arm::json::Object;
use crate::arm::kind::Family;
use crate::arm::operation::{self, Operation, Status, Work};
use crate::arm::store::{Arm, Group};
use crate::arm::subscription::normal_location;

/// Seconds that deleting an empty group takes.
const DELETE_SECONDS: f64 = 15.0;

/// Longest name of a group.
const NAME_LIMIT: usize = 90;

pub(crate) fn answer(arm: &mut Arm, call: &Call, method: &str, name: &str) -> Answer {
    match method {
        "HEAD" => Ok(Reply::empty(if find(arm, name).is_ok() { 204 } else { 404 })),
        "GET" => find(arm, name).map(|group| Reply::json(200, body(arm, group))),
        "PUT" => put(arm, call, name),
        "PATCH" => patch(arm, call, name),
        "DELETE" => delete(arm, call, name),
        other => Err(ArmError::method_not_allowed(other)),
    }
}

pub(crate) fn find<'a>(arm: &'a Arm, name: &str) -> Result<&'a Group, ArmError> {
    arm.groups.get(&name.to_ascii_lowercase()).ok_or_else(|| ArmError::group_not_found(name))
}

/// The group, if things may be written into it.
pub(crate) fn writable(arm: &Arm, name: &str) -> Result<Group, ArmError> {
    let group = find(arm, name)?;
    if group.state == "Deleting" {
        let message =
            format!("The resource group '{name}' is in deprovisioning state and cannot perform this operation.");
        return Err(ArmError::gateway(409, "ResourceGroupBeingDeleted", message));
    }
    Ok(group.clone())
}

pub(crate) fn list(arm: &Arm) -> Reply {
    let value: Vec<Value> = arm.groups.values().map(|group| body(arm, group)).collect();
    Reply::json(200, json!({ "value": value }))
}

fn body(arm: &Arm, group: &Group) -> Value {
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

fn put(arm: &mut Arm, call: &Call, name: &str) -> Answer {
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
    create(arm, name, &location, tags, managed_by);
    find(arm, name).map(|group| Reply::json(status, body(arm, group)))
}

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

/// Makes the group or changes its tags, keeping the name that it has.
pub(crate) fn create(arm: &mut Arm, name: &str, location: &str, tags: Option<Value>, managed_by: Option<String>) {
    let group = arm.groups.entry(name.to_ascii_lowercase()).or_insert_with(|| Group {
        name: name.to_owned(),
        location: location.to_owned(),
        tags: None,
        managed_by,
        state: "Succeeded".to_owned(),
    });
    group.tags = tags;
}

fn patch(arm: &mut Arm, call: &Call, name: &str) -> Answer {
    let tags = call.object()?.get("tags").cloned();
    writable(arm, name)?;
    if let (Some(group), Some(tags)) = (arm.groups.get_mut(&name.to_ascii_lowercase()), tags) {
        group.tags = Some(tags);
    }
    find(arm, name).map(|group| Reply::json(200, body(arm, group)))
}

/// Deletes with `Location` alone; the location is the job of ARM itself, not of a provider.
fn delete(arm: &mut Arm, call: &Call, name: &str) -> Answer {
    let group = find(arm, name)?.clone();
    let running = arm.operations.values().find(|operation| {
        operation.work == Work::DeleteGroup && operation.status == Status::InProgress && operation.target == group.name
    });
    let id = match running {
        Some(operation) => operation.id.clone(),
        None => begin(arm, call, &group),
    };
    let reply = Reply::empty(202).with_header("Location", url(arm, call, &id));
    Ok(reply.with_header("Retry-After", retry_after(arm)))
}

fn begin(arm: &mut Arm, call: &Call, group: &Group) -> String {
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
    let operation = Operation {
        id: id.clone(),
        family: Family::Network,
        namespace: String::new(),
        location: group.location.clone(),
        api_version: call.api_version().to_owned(),
        target: group.name.clone(),
        root: format!("group/{}", group.name.to_ascii_lowercase()),
        work: Work::DeleteGroup,
        started: call.now,
        due: operation::due(call, arm.speed, DELETE_SECONDS),
        status: Status::InProgress,
        output: None,
        fails: call.fault.fails.clone(),
        expired: false,
    };
    arm.operations.insert(id.clone(), operation);
    id
}

fn url(arm: &Arm, call: &Call, id: &str) -> String {
    let signature = operation::signature(arm.seed, id);
    let version = arm.operations.get(id).map_or("", |operation| operation.api_version.as_str());
    format!("{}/subscriptions/{}/operationresults/{id}?api-version={version}&{signature}", call.base, arm.subscription)
}

fn retry_after(arm: &Arm) -> String {
    // The real one says 15.
    operation::retry_after(15.0, arm.speed)
}

/// Answers a poll of a deletion: 202 until it is done, then 200 without a body.
pub(crate) fn poll(arm: &Arm, call: &Call, id: &str) -> Answer {
    let operation =
        arm.operations.get(id).filter(|operation| !operation.expired && operation.work == Work::DeleteGroup);
    let operation = operation.filter(|operation| operation::is_verbatim(arm.seed, id, &operation.api_version, call));
    match operation.map(|operation| operation.status) {
        Some(Status::InProgress) => Ok(Reply::empty(202)
            .with_header("Location", url(arm, call, id))
            .with_header("Retry-After", retry_after(arm))),
        Some(Status::Succeeded) => Ok(Reply::empty(200)),
        Some(Status::Failed) => {
            let message = "Deletion of resource group failed as resources could not be deleted. Please see details.";
            Err(ArmError::gateway(409, "ResourceGroupDeletionBlocked", message))
        }
        None => Err(ArmError::gateway(404, "NotFound", "The operation result could not be found.")),
    }
}

/// Takes the group and everything in it out of the world.
pub(crate) fn remove(arm: &mut Arm, name: &str) {
    let prefix = format!("/subscriptions/{}/resourcegroups/{}/", arm.subscription, name).to_ascii_lowercase();
    let mut ids: Vec<(u64, String)> = arm
        .resources
        .values()
        .filter(|resource| !resource.kind.is_child() && resource.key().starts_with(&prefix))
        .map(|resource| (resource.order, resource.id.clone()))
        .collect();
    // The youngest first: machines before their NICs before their networks.
    ids.sort_by(|left, right| right.cmp(left));
    for (_, id) in ids {
        operation::remove(arm, &id);
    }
    arm.deployments.retain(|key, _| !key.starts_with(&prefix));
    arm.groups.remove(&name.to_ascii_lowercase());
}

/// The group after its deletion failed.
pub(crate) fn restore(arm: &mut Arm, name: &str) {
    if let Some(group) = arm.groups.get_mut(&name.to_ascii_lowercase()) {
        "Succeeded".clone_into(&mut group.state);
    }
}
