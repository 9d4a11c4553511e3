use serde_json::{Value, json};

use crate::arm::error::ArmError;
use crate::arm::render::{render, render_expanded};
use crate::arm::request::{ArmCall, ArmReply, ArmResult};
use crate::arm::store::{Arm, ArmResourceType, Family, StoredResource, group_of, name_of, parent_id, root_id};
use crate::arm::{compute, group};

/// Number of resources in a page of an AKS list.
const PAGE: usize = 2;

/// Returns the resource.
///
/// # Errors
/// The 404 of the layer that notices first: ARM's front door for a group or a top-level resource,
/// the provider for a child.
pub(crate) fn require<'a>(
    arm: &'a Arm,
    kind: ArmResourceType,
    group: &str,
    id: &str,
) -> Result<&'a StoredResource, ArmError> {
    if !arm.groups.contains_key(&group.to_ascii_lowercase()) {
        return Err(ArmError::group_not_found(group));
    }
    if let Some(found) = arm.find_kind(id, kind) {
        return Ok(found);
    }
    Err(absent(arm, kind, group, id))
}

/// Returns the 404 of a resource whose group exists.
fn absent(arm: &Arm, kind: ArmResourceType, group: &str, id: &str) -> ArmError {
    if kind == ArmResourceType::ScaleSetVm && name_of(id).parse::<u32>().is_err() {
        return ArmError::invalid("instanceId", "Virtual Machine Scale Set VM instanceId must be a number.");
    }
    if kind.is_child() && arm.find(parent_id(id)).is_some() {
        return match kind.family() {
            Family::Network => ArmError::child_not_found(id),
            Family::Aks => ArmError::new(404, "NotFound", format!("Agent pool '{}' was not found.", name_of(id))),
            Family::Compute | Family::Disk => {
                let message = format!("The entity was not found: {}.", name_of(id));
                ArmError::new(404, "ResourceNotFound", message)
            }
        };
    }
    let names: Vec<&str> = id.split('/').skip(8).step_by(2).collect();
    let depth = if kind.is_child() { 1 } else { kind.types().len() };
    let types = kind.types()[..depth].join("/");
    ArmError::resource_not_found(
        &format!("{}/{types}/{}", kind.namespace(), names[..depth.min(names.len())].join("/")),
        group,
    )
}

/// Answers a GET, with the instance view if `$expand` asks for it.
pub(crate) fn get(arm: &Arm, call: &ArmCall, kind: ArmResourceType, group: &str, id: &str) -> ArmResult {
    let resource = require(arm, kind, group, id)?;
    let mut reply = ArmReply::json(200, render_expanded(arm, resource, call.expands("instanceView"), call.now));
    if let Some(etag) = resource.shown_etag() {
        reply = reply.with_header("ETag", etag);
    }
    Ok(if kind.family() == Family::Compute { compute::with_limits(reply) } else { reply })
}

/// Lists the resources of one type: of the subscription, of a group or below a parent.
pub(crate) fn list(
    arm: &Arm,
    call: &ArmCall,
    kind: ArmResourceType,
    group: Option<&str>,
    parent: Option<&str>,
) -> ArmResult {
    if let Some(group) = group {
        group::find(arm, group)?;
    }
    if let (Some(parent), Some(group)) = (parent, group) {
        parent_exists(arm, kind, group, parent)?;
    }
    let below = match (parent, group) {
        (Some(parent), _) => parent.to_owned(),
        (None, Some(group)) => format!("/subscriptions/{}/resourcegroups/{group}", arm.subscription),
        (None, None) => format!("/subscriptions/{}", arm.subscription),
    };
    let found = arm.below(&below, kind);
    let value: Vec<Value> =
        found.iter().map(|resource| render_expanded(arm, resource, call.expands("instanceView"), call.now)).collect();
    Ok(if kind == ArmResourceType::ManagedCluster {
        page(call, &value)
    } else {
        ArmReply::json(200, json!({ "value": value }))
    })
}

/// Refuses a list below a parent that does not exist.
fn parent_exists(arm: &Arm, kind: ArmResourceType, group: &str, parent: &str) -> Result<(), ArmError> {
    if arm.find(parent).is_some() {
        return Ok(());
    }
    let types = &kind.types()[..1];
    Err(ArmError::resource_not_found(
        &format!("{}/{}/{}", kind.namespace(), types.join("/"), name_of(root_id(parent))),
        group,
    ))
}

/// Returns one page: AKS pages its lists with `$skiptoken`.
fn page(call: &ArmCall, value: &[Value]) -> ArmReply {
    let start = call.query.get("$skiptoken").and_then(|token| token.parse().ok()).unwrap_or(0_usize);
    let end = (start + PAGE).min(value.len());
    let mut body = json!({ "value": value.get(start..end).unwrap_or_default() });
    if end < value.len() {
        let path = call.segments.join("/");
        body["nextLink"] = json!(format!("{}/{path}?api-version={}&%24skiptoken={end}", call.base, call.api_version()));
    }
    ArmReply::json(200, body)
}

/// Lists every top-level resource without properties, as `az resource list` expects it.
pub(crate) fn list_all(arm: &Arm, call: &ArmCall, name: Option<&str>) -> ArmResult {
    let filter = call.query.get("$filter").map(String::as_str).unwrap_or_default();
    let prefix = match name {
        Some(name) => format!("/subscriptions/{}/resourcegroups/{}/", arm.subscription, group::find(arm, name)?.name),
        None => format!("/subscriptions/{}/", arm.subscription),
    };
    let prefix = prefix.to_ascii_lowercase();
    let mut found: Vec<&StoredResource> = arm
        .resources
        .iter()
        .filter(|(key, resource)| key.starts_with(&prefix) && !resource.kind.is_child() && passes(resource, filter))
        .map(|(_, resource)| resource)
        .collect();
    found.sort_by_key(|resource| resource.order);
    let value: Vec<Value> = found
        .iter()
        .map(|resource| {
            let mut body = json!({ "id": resource.id, "name": resource.name, "type": resource.kind.type_name() });
            for (key, value) in &resource.top {
                body[key] = value.clone();
            }
            body
        })
        .collect();
    Ok(ArmReply::json(200, json!({ "value": value })))
}

/// True if the resource meets the conditions of `$filter`: equalities joined with `and`. Other
/// conditions are ignored.
fn passes(resource: &StoredResource, filter: &str) -> bool {
    filter.split(" and ").all(|condition| {
        let Some((name, value)) = condition.split_once(" eq ") else { return true };
        let value = value.trim().trim_matches('\'');
        match name.trim() {
            "resourceGroup" => group_of(&resource.id).eq_ignore_ascii_case(value),
            "resourceType" => resource.kind.type_name().eq_ignore_ascii_case(value),
            "name" => resource.name.eq_ignore_ascii_case(value),
            "location" => resource.location().eq_ignore_ascii_case(value),
            _ => true,
        }
    })
}

/// Returns the JSON of a resource, or `null` if it does not exist.
pub(crate) fn body(arm: &Arm, id: &str) -> Value {
    arm.find(id).map_or(Value::Null, |resource| render(arm, resource))
}
