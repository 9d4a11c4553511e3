use serde_json::{Value, json};

use crate::arm::behaviour::{Draft, DraftChild, WriteTarget};
use crate::arm::compute;
use crate::arm::conditions::{check_conditions, check_idle};
use crate::arm::consequences::remove;
use crate::arm::error::ArmError;
use crate::arm::group;
use crate::arm::json::{Object, drop_keys, merge};
use crate::arm::operation::{self, PollHeaders};
use crate::arm::read;
use crate::arm::request::{ArmCall, ArmReply, ArmResult};
use crate::arm::resource_types::behaviour;
use crate::arm::store::{
    Arm, ArmResourceType, Family, OperationStatus, OperationWork, StoredGroup, StoredResource, group_of, name_of,
    parent_id, root_id,
};
use crate::arm::subscription::normal_location;

/// Creates the resource, or replaces all of it.
pub(crate) fn put(arm: &mut Arm, call: &ArmCall, kind: ArmResourceType, group: &str, id: &str) -> ArmResult {
    let prepare = behaviour(kind).prepare.ok_or_else(|| ArmError::method_not_allowed("PUT"))?;
    let group = group::writable(arm, group)?;
    let id = canonical_id(arm, kind, &group, id)?;
    let existing = arm.find_kind(&id, kind).cloned();
    check_conditions(call, existing.as_ref(), &id)?;
    let body = call.object()?;
    let top = top_level(kind, &id, &body, existing.as_ref())?;
    let location = location(arm, &id, &top);
    let target = WriteTarget { kind, id, location, existing };
    check_idle(arm, call, kind, &target.id)?;
    let draft = prepare(arm, &target, top, properties(&body)?)?;
    Ok(store(arm, call, &target, draft))
}

/// Changes the tags; of machines, disks and clusters also properties.
pub(crate) fn patch(arm: &mut Arm, call: &ArmCall, kind: ArmResourceType, group: &str, id: &str) -> ArmResult {
    let existing = read::require(arm, kind, group, id)?.clone();
    group::writable(arm, group)?;
    if kind.is_child() || behaviour(kind).prepare.is_none() {
        return Err(ArmError::method_not_allowed("PATCH"));
    }
    check_conditions(call, Some(&existing), &existing.id)?;
    check_idle(arm, call, kind, &existing.id)?;
    let patch = call.object()?;
    let mut top = existing.top.clone();
    if let Some(tags) = patch.get("tags") {
        top.insert("tags".to_owned(), tags.clone());
    }
    if let (Some(Value::Object(sku)), Family::Disk) = (patch.get("sku"), kind.family()) {
        top.insert("sku".to_owned(), Value::Object(sku.clone()));
    }
    let mut properties = existing.properties.clone();
    if let (Some(Value::Object(changes)), Family::Compute | Family::Disk) = (patch.get("properties"), kind.family()) {
        merge(&mut properties, changes);
    }
    let target = WriteTarget {
        kind,
        id: existing.id.clone(),
        location: existing.location().to_owned(),
        existing: Some(existing.clone()),
    };
    if kind.family() == Family::Network {
        return Ok(patch_tags(arm, &target, top));
    }
    let draft = match behaviour(kind).prepare.filter(|_| kind != ArmResourceType::ManagedCluster) {
        Some(prepare) => prepare(arm, &target, top, properties)?,
        None => Draft { top, properties, ..Draft::default() },
    };
    Ok(store(arm, call, &target, draft))
}

/// Stores the tags of a network resource; the change is immediate.
fn patch_tags(arm: &mut Arm, target: &WriteTarget, top: Object) -> ArmReply {
    if let Some(resource) = arm.find_mut(&target.id) {
        resource.top = top;
    }
    arm.touch(&target.id);
    ArmReply::json(200, read::body(arm, &target.id))
}

/// Returns the id that the resource has or will have: names as they were first written.
fn canonical_id(arm: &Arm, kind: ArmResourceType, group: &StoredGroup, id: &str) -> Result<String, ArmError> {
    if let Some(existing) = arm.find_kind(id, kind) {
        return Ok(existing.id.clone());
    }
    let name = name_of(id);
    check_name(name)?;
    if kind.is_child() {
        let parent = arm.find(parent_id(id)).ok_or_else(|| parent_missing(kind, parent_id(id)))?;
        return Ok(format!("{}/{}/{name}", parent.id, kind.types().last().copied().unwrap_or_default()));
    }
    let groups = if kind.family() == Family::Aks { "resourcegroups" } else { "resourceGroups" };
    Ok(format!(
        "/subscriptions/{}/{groups}/{}/providers/{}/{}/{name}",
        arm.subscription,
        group.name,
        kind.namespace(),
        kind.types()[0]
    ))
}

/// Checks the characters and the length of a name.
fn check_name(name: &str) -> Result<(), ArmError> {
    let inside = name.chars().all(|character| character.is_ascii_alphanumeric() || "-_.".contains(character));
    let ends = name.starts_with(|first: char| first.is_ascii_alphanumeric()) && !name.ends_with(['-', '.']);
    // 80 is the limit of network resources, the longest there is here.
    if inside && ends && name.len() <= 80 {
        return Ok(());
    }
    let message = format!(
        "Resource name {name} is invalid. The name can be up to 80 characters long. It must begin with a word character, \
         and it must end with a word character or with '_'. The name may contain word characters or '.', '-', '_'."
    );
    Err(ArmError::network("InvalidResourceName", message))
}

/// Returns the 404 for a child whose parent does not exist.
fn parent_missing(kind: ArmResourceType, parent: &str) -> ArmError {
    let message = format!(
        "Failed to perform 'write' on resource(s) of type '{}', because the parent resource '{parent}' could not be found.",
        kind.types().join("/")
    );
    ArmError::gateway(404, "ParentResourceNotFound", message)
}

/// Top-level members of a resource besides `properties`.
const TOP: [&str; 7] = ["location", "tags", "sku", "zones", "identity", "plan", "extendedLocation"];

/// Members that clients send back and that have no meaning in a request.
const ECHOED: [&str; 10] =
    ["kind", "id", "name", "type", "etag", "properties", "managedBy", "managedByExtended", "resources", "systemData"];

/// Returns the top-level members of a body without those that are ignored.
fn top_level(
    kind: ArmResourceType,
    id: &str,
    body: &Object,
    existing: Option<&StoredResource>,
) -> Result<Object, ArmError> {
    let mut top = Object::new();
    for (key, value) in body {
        if TOP.contains(&key.as_str()) {
            if !value.is_null() {
                top.insert(key.clone(), value.clone());
            }
        } else if !ECHOED.contains(&key.as_str()) {
            let message = format!(
                "The request content was invalid and could not be deserialized: 'Could not find member '{key}' on object \
                 of type 'ResourceDefinition'. Path '{key}'.'."
            );
            return Err(ArmError::gateway(400, "InvalidRequestContent", message));
        }
    }
    if top.get("identity").and_then(|identity| identity.get("type")) == Some(&json!("None")) {
        top.remove("identity");
    }
    if kind.is_child() {
        top.remove("location");
        return Ok(top);
    }
    check_location(id, &mut top, existing)?;
    Ok(top)
}

/// Checks the location, which is required and cannot change.
fn check_location(id: &str, top: &mut Object, existing: Option<&StoredResource>) -> Result<(), ArmError> {
    let Some(text) = top.get("location").and_then(Value::as_str) else {
        return Err(ArmError::gateway(
            400,
            "LocationRequired",
            "The location property is required for this definition.",
        ));
    };
    let Some(location) = normal_location(text) else {
        let message = format!("The provided location '{text}' is not available for resource type.");
        return Err(ArmError::gateway(400, "LocationNotAvailableForResourceType", message));
    };
    if let Some(existing) = existing
        && existing.location() != location
    {
        let message = format!(
            "The resource '{}' already exists in location '{}' in resource group '{}'. A resource with the same name \
             cannot be created in location '{location}'. Please select a new resource name.",
            name_of(id),
            existing.location(),
            group_of(id)
        );
        return Err(ArmError::gateway(409, "InvalidResourceLocation", message));
    }
    top.insert("location".to_owned(), json!(location));
    Ok(())
}

/// Returns `properties` of a body without the read-only ones.
fn properties(body: &Object) -> Result<Object, ArmError> {
    match body.get("properties") {
        None | Some(Value::Null) => Ok(Object::new()),
        Some(Value::Object(properties)) => {
            let mut properties = properties.clone();
            drop_keys(&mut properties, &["provisioningState", "resourceGuid"]);
            Ok(properties)
        }
        Some(_) => {
            let message = "The request content was invalid and could not be deserialized: properties is not an object.";
            Err(ArmError::gateway(400, "InvalidRequestContent", message))
        }
    }
}

/// Returns the location in a body, or that of the top-level resource.
fn location(arm: &Arm, id: &str, top: &Object) -> String {
    let own = top.get("location").and_then(Value::as_str);
    let root = arm.find(root_id(id)).map(StoredResource::location);
    own.or(root).unwrap_or_default().to_owned()
}

/// Returns the location of the resource or of its top-level resource.
pub(crate) fn location_of(arm: &Arm, resource: &StoredResource) -> String {
    location(arm, &resource.id, &resource.top)
}

/// Stores the draft and starts its operation, if it changes anything.
fn store(arm: &mut Arm, call: &ArmCall, target: &WriteTarget, draft: Draft) -> ArmReply {
    for (id, address) in &draft.assigned_addresses {
        if let Some(public) = arm.find_mut(id) {
            public.hidden.insert("address".to_owned(), json!(address));
        }
    }
    match &target.existing {
        Some(existing) if is_same(arm, existing, &draft) => unchanged(arm, call, target),
        _ => write(arm, call, target, draft),
    }
}

/// True if the draft equals the stored resource and its children.
fn is_same(arm: &Arm, existing: &StoredResource, draft: &Draft) -> bool {
    let mut parts = Vec::new();
    for (kind, _) in existing.kind.embedded() {
        for part in arm.below(&existing.id, *kind) {
            parts.push(DraftChild { kind: *kind, name: part.name.clone(), properties: part.properties.clone() });
        }
    }
    existing.state == "Succeeded"
        && existing.top == draft.top
        && existing.properties == draft.properties
        && parts == draft.children
}

/// Answers a PUT that changes nothing.
fn unchanged(arm: &mut Arm, call: &ArmCall, target: &WriteTarget) -> ArmReply {
    match target.kind.family() {
        Family::Network if behaviour(target.kind).is_synchronous => ArmReply::json(200, read::body(arm, &target.id)),
        Family::Network => {
            let reply = ArmReply::json(200, read::body(arm, &target.id));
            let id = operation::begin(
                arm,
                call,
                target.kind,
                &target.id,
                &target.location,
                OperationWork::Write { created: false },
            );
            if let Some(operation) = arm.operations.get_mut(&id) {
                operation.status = OperationStatus::Succeeded;
                operation.due = call.now;
            }
            operation::with_poll_headers(arm, call, reply, &id, PollHeaders::Async)
        }
        Family::Compute => rewrite(arm, call, target),
        Family::Disk | Family::Aks => accept(arm, call, target, false),
    }
}

/// Answers a PUT that changes nothing of a machine with 200 and no operation headers. The machine
/// is `Updating` until an operation finishes.
fn rewrite(arm: &mut Arm, call: &ArmCall, target: &WriteTarget) -> ArmReply {
    count_version(arm, &target.id);
    if let Some(machine) = arm.find_mut(&target.id) {
        "Updating".clone_into(&mut machine.state);
    }
    operation::begin(arm, call, target.kind, &target.id, &target.location, OperationWork::Write { created: false });
    let etag = arm.find(&target.id).and_then(StoredResource::shown_etag).unwrap_or_default();
    compute::with_limits(ArmReply::json(200, read::body(arm, &target.id)).with_header("ETag", etag))
}

/// Increments the counting etag of a compute resource.
fn count_version(arm: &mut Arm, id: &str) {
    if let Some(resource) = arm.find_mut(id) {
        resource.version += 1;
    }
}

/// Returns the ids of resources that show this one in themselves.
fn references(arm: &Arm, resource: &StoredResource) -> Vec<String> {
    (behaviour(resource.kind).references)(arm, resource)
}

/// Stores a changed resource with its children, gives new etags, and starts its operation.
fn write(arm: &mut Arm, call: &ArmCall, target: &WriteTarget, draft: Draft) -> ArmReply {
    let created = target.existing.is_none();
    let mut resource = target.existing.clone().unwrap_or_else(|| arm.fresh(target.id.clone(), target.kind, call.now));
    let before = target.existing.as_ref().map(|existing| references(arm, existing)).unwrap_or_default();
    resource.top = draft.top;
    resource.properties = draft.properties;
    resource.hidden.extend(draft.hidden);
    arm.insert(resource);
    if !target.kind.embedded().is_empty() {
        replace_children(arm, call, target, draft.children);
    }
    arm.touch(&target.id);
    let after = arm.find(&target.id).map(|resource| references(arm, resource)).unwrap_or_default();
    for id in before.into_iter().chain(after) {
        arm.touch(&id);
    }
    if behaviour(target.kind).is_synchronous {
        return ArmReply::json(if created { 201 } else { 200 }, read::body(arm, &target.id));
    }
    accept(arm, call, target, created)
}

/// Replaces the children of a resource by those of a draft.
fn replace_children(arm: &mut Arm, call: &ArmCall, target: &WriteTarget, children: Vec<DraftChild>) {
    let mut gone: Vec<String> = target
        .kind
        .embedded()
        .iter()
        .flat_map(|(kind, _)| arm.below(&target.id, *kind))
        .map(StoredResource::key)
        .collect();
    for child in children {
        let id = format!("{}/{}/{}", target.id, child.kind.types().last().copied().unwrap_or_default(), child.name);
        gone.retain(|key| *key != id.to_ascii_lowercase());
        let mut part = match arm.find(&id) {
            Some(part) if part.properties == child.properties => continue,
            Some(part) => part.clone(),
            None => arm.fresh(id, child.kind, call.now),
        };
        part.properties = child.properties;
        "Updating".clone_into(&mut part.state);
        arm.insert(part);
    }
    for key in gone {
        remove(arm, &key);
    }
}

/// Answers with the resource and starts the operation that finishes its write.
fn accept(arm: &mut Arm, call: &ArmCall, target: &WriteTarget, created: bool) -> ArmReply {
    let word = match target.kind.family() {
        Family::Compute | Family::Aks if created => "Creating",
        _ => "Updating",
    };
    if let Some(resource) = arm.find_mut(&target.id) {
        word.clone_into(&mut resource.state);
    }
    if target.kind.family() == Family::Compute && !created {
        count_version(arm, &target.id);
    }
    let operation =
        operation::begin(arm, call, target.kind, &target.id, &target.location, OperationWork::Write { created });
    let (status, style) = match (target.kind.family(), created) {
        (Family::Disk, _) => (202, PollHeaders::Both),
        (_, true) => (201, PollHeaders::Async),
        (_, false) => (200, PollHeaders::Async),
    };
    let mut reply = ArmReply::json(status, read::body(arm, &target.id));
    if let Some(etag) =
        arm.find(&target.id).and_then(StoredResource::shown_etag).filter(|_| target.kind.family() == Family::Compute)
    {
        reply = compute::with_limits(reply.with_header("ETag", etag));
    }
    operation::with_poll_headers(arm, call, reply, &operation, style)
}
