use serde_json::{Value, json};

use crate::arm::call::{Answer, Call, Reply};
use crate::arm::error::ArmError;
use crate::arm::json::{Object, drop_keys, merge};
use crate::arm::kind::{Family, Kind};
use crate::arm::operation::{self, Announce, Status, Work};
use crate::arm::store::{Arm, Group, Resource, name_of, parent_id, root_id};
use crate::arm::subscription::normal_location;
use crate::arm::{aks, compute, group, network, resource};

/// Where a write goes.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) kind: Kind,
    pub(crate) id: String,
    pub(crate) location: String,
    pub(crate) existing: Option<Resource>,
}

/// What a resource is to become, checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Draft {
    pub(crate) top: Object,
    pub(crate) properties: Object,
    /// What is kept but never shown; empty leaves what is there.
    pub(crate) hidden: Object,
    /// Parts that came inside the body: they replace all that were there.
    pub(crate) children: Vec<Child>,
}

/// A part of a [`Draft`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Child {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) properties: Object,
}

/// Creates the resource or replaces all of it.
pub(crate) fn put(arm: &mut Arm, call: &Call, kind: Kind, group: &str, id: &str) -> Answer {
    if !kind.is_writable() {
        return Err(ArmError::method_not_allowed("PUT"));
    }
    let group = group::writable(arm, group)?;
    let id = canonical_id(arm, kind, &group, id)?;
    let existing = arm.find_kind(&id, kind).cloned();
    check_conditions(call, existing.as_ref(), &id)?;
    let body = call.object()?;
    let top = top_level(kind, &id, &body, existing.as_ref())?;
    let location = location(arm, &id, &top);
    let place = Place { kind, id, location, existing };
    check_idle(arm, call, kind, &place.id)?;
    let draft = prepare(arm, &place, top, properties(&body)?)?;
    Ok(store(arm, call, &place, draft))
}

/// Changes tags; machines, disks and clusters also take properties.
pub(crate) fn patch(arm: &mut Arm, call: &Call, kind: Kind, group: &str, id: &str) -> Answer {
    let existing = resource::require(arm, kind, group, id)?.clone();
    group::writable(arm, group)?;
    if kind.is_child() || !kind.is_writable() {
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
    let place = Place {
        kind,
        id: existing.id.clone(),
        location: existing.location().to_owned(),
        existing: Some(existing.clone()),
    };
    if kind.family() == Family::Network {
        return Ok(patch_tags(arm, &place, top));
    }
    let draft = if kind == Kind::ManagedCluster {
        Draft { top, properties, ..Draft::default() }
    } else {
        prepare(arm, &place, top, properties)?
    };
    Ok(store(arm, call, &place, draft))
}

fn patch_tags(arm: &mut Arm, place: &Place, top: Object) -> Reply {
    if let Some(resource) = arm.find_mut(&place.id) {
        resource.top = top;
    }
    arm.touch(&place.id);
    Reply::json(200, resource::body(arm, &place.id))
}

fn prepare(arm: &mut Arm, place: &Place, top: Object, properties: Object) -> Result<Draft, ArmError> {
    match place.kind.family() {
        Family::Network => network::prepare(arm, place, top, properties),
        Family::Compute => compute::prepare_machine(arm, place, top, properties),
        Family::Disk => compute::prepare_disk(place, top, properties),
        Family::Aks => aks::prepare(arm, place, top, properties),
    }
}

/// The id that the resource has or will have: names as they were first written.
fn canonical_id(arm: &Arm, kind: Kind, group: &Group, id: &str) -> Result<String, ArmError> {
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

fn parent_missing(kind: Kind, parent: &str) -> ArmError {
    let message = format!(
        "Failed to perform 'write' on resource(s) of type '{}', because the parent resource '{parent}' could not be found.",
        kind.types().join("/")
    );
    ArmError::gateway(404, "ParentResourceNotFound", message)
}

/// Members of a resource beside its properties.
const TOP: [&str; 7] = ["location", "tags", "sku", "zones", "identity", "plan", "extendedLocation"];

/// Members that clients send back and that mean nothing in a request.
const ECHOED: [&str; 10] =
    ["kind", "id", "name", "type", "etag", "properties", "managedBy", "managedByExtended", "resources", "systemData"];

fn top_level(kind: Kind, id: &str, body: &Object, existing: Option<&Resource>) -> Result<Object, ArmError> {
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

fn check_location(id: &str, top: &mut Object, existing: Option<&Resource>) -> Result<(), ArmError> {
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
            crate::arm::store::group_of(id)
        );
        return Err(ArmError::gateway(409, "InvalidResourceLocation", message));
    }
    top.insert("location".to_owned(), json!(location));
    Ok(())
}

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

fn location(arm: &Arm, id: &str, top: &Object) -> String {
    let own = top.get("location").and_then(Value::as_str);
    let root = arm.find(root_id(id)).map(Resource::location);
    own.or(root).unwrap_or_default().to_owned()
}

/// The location of the resource or of the top-level resource that it is a part of.
pub(crate) fn location_of(arm: &Arm, resource: &Resource) -> String {
    location(arm, &resource.id, &resource.top)
}

/// Checks `If-Match`, `If-None-Match` and the etag in the body.
pub(crate) fn check_conditions(call: &Call, existing: Option<&Resource>, id: &str) -> Result<(), ArmError> {
    if call.if_none_match.as_deref() == Some("*") && existing.is_some() {
        let message = format!("The resource {id} already exists.");
        return Err(ArmError::new(412, "PreconditionFailed", message));
    }
    let in_body = call.body.as_ref().and_then(|body| body.get("etag")).and_then(Value::as_str);
    let Some(wanted) = call.if_match.as_deref().or(in_body).filter(|wanted| !wanted.is_empty()) else { return Ok(()) };
    let Some(existing) = existing else {
        // Only the header says that something must exist; an etag in the body of a first PUT is ignored.
        return if call.if_match.is_some() { Err(mismatch(wanted, None, id)) } else { Ok(()) };
    };
    let Some(actual) = existing.shown_etag() else { return Ok(()) };
    if wanted == "*" || bare(wanted) == bare(&actual) {
        Ok(())
    } else {
        Err(mismatch(wanted, Some((existing, &actual)), id))
    }
}

fn bare(etag: &str) -> &str {
    etag.trim().trim_start_matches("W/").trim_matches('"')
}

fn mismatch(wanted: &str, existing: Option<(&Resource, &str)>, id: &str) -> ArmError {
    let wanted = bare(wanted);
    match existing {
        Some((existing, actual)) if existing.kind.family() == Family::Compute => {
            let message =
                format!("Etag provided in if-match header \"{wanted}\" does not match etag {actual} of resource.");
            ArmError::new(412, "PreconditionFailed", message)
        }
        Some((_, actual)) => {
            let message = format!(
                "Etag provided in if-match header W/\"{wanted}\" does not match etag {actual} of resource {id} in NRP data store."
            );
            ArmError::new(412, "PreconditionFailed", "Precondition failed.")
                .with_detail("PreconditionFailedEtagMismatch", message)
        }
        None => ArmError::new(412, "PreconditionFailed", format!("The resource {id} does not exist.")),
    }
}

/// Refuses a write while another one is in progress on the same top-level resource.
pub(crate) fn check_idle(arm: &Arm, call: &Call, kind: Kind, id: &str) -> Result<(), ArmError> {
    let root = root_id(id).to_ascii_lowercase();
    let Some(running) = operation::running_on(arm, &root) else { return Ok(()) };
    let uri = format!(
        "{}/subscriptions/{}/providers/{}/locations/{}/operations/{}?api-version={}",
        call.base, arm.subscription, running.namespace, running.location, running.id, running.api_version
    );
    Err(match kind.family() {
        Family::Network => ArmError {
            details: Some(Vec::new()),
            ..ArmError::new(
                429,
                "AnotherOperationInProgress",
                format!("Another operation on this or dependent resource is in progress. To retrieve status of the operation use uri: {uri}."),
            )
        }
        .with_header("Retry-After", operation::retry_after(10.0, arm.speed)),
        Family::Compute | Family::Disk => {
            ArmError::new(409, "Conflict", "The request failed due to conflict with a concurrent request. To resolve it, please refer to https://aka.ms/activitylog to get more details on the conflicting requests.")
        }
        Family::Aks => {
            let message = format!(
                "Operation is not allowed because there's an in progress operation {} on the managed cluster {}.",
                running.id,
                name_of(root_id(id))
            );
            ArmError::new(409, "OperationNotAllowed", message)
        }
    })
}

/// Puts the draft in place and starts what it takes.
fn store(arm: &mut Arm, call: &Call, place: &Place, draft: Draft) -> Reply {
    match &place.existing {
        Some(existing) if is_same(arm, existing, &draft) => unchanged(arm, call, place),
        _ => write(arm, call, place, draft),
    }
}

fn is_same(arm: &Arm, existing: &Resource, draft: &Draft) -> bool {
    let mut parts = Vec::new();
    for (kind, _) in existing.kind.embedded() {
        for part in arm.below(&existing.id, *kind) {
            parts.push(Child { kind: *kind, name: part.name.clone(), properties: part.properties.clone() });
        }
    }
    existing.state == "Succeeded"
        && existing.top == draft.top
        && existing.properties == draft.properties
        && parts == draft.children
}

/// Answers a PUT that changes nothing.
fn unchanged(arm: &mut Arm, call: &Call, place: &Place) -> Reply {
    match place.kind.family() {
        Family::Network if place.kind == Kind::NetworkInterface => Reply::json(200, resource::body(arm, &place.id)),
        Family::Network => {
            let reply = Reply::json(200, resource::body(arm, &place.id));
            let id =
                operation::begin(arm, call, place.kind, &place.id, &place.location, Work::Write { created: false });
            if let Some(operation) = arm.operations.get_mut(&id) {
                operation.status = Status::Succeeded;
                operation.due = call.now;
            }
            operation::announce(arm, call, reply, &id, Announce::Async)
        }
        Family::Compute => compute::rewrite(arm, call, place),
        Family::Disk | Family::Aks => accept(arm, call, place, false),
    }
}

fn write(arm: &mut Arm, call: &Call, place: &Place, draft: Draft) -> Reply {
    let created = place.existing.is_none();
    let mut resource = place.existing.clone().unwrap_or_else(|| arm.fresh(place.id.clone(), place.kind, call.now));
    let before = place.existing.as_ref().map(|existing| network::related(arm, existing)).unwrap_or_default();
    resource.top = draft.top;
    resource.properties = draft.properties;
    resource.hidden.extend(draft.hidden);
    arm.insert(resource);
    if !place.kind.embedded().is_empty() {
        replace_children(arm, call, place, draft.children);
    }
    arm.touch(&place.id);
    let after = arm.find(&place.id).map(|resource| network::related(arm, resource)).unwrap_or_default();
    for id in before.into_iter().chain(after) {
        arm.touch(&id);
    }
    if place.kind == Kind::NetworkInterface {
        return Reply::json(if created { 201 } else { 200 }, resource::body(arm, &place.id));
    }
    accept(arm, call, place, created)
}

fn replace_children(arm: &mut Arm, call: &Call, place: &Place, children: Vec<Child>) {
    let mut gone: Vec<String> =
        place.kind.embedded().iter().flat_map(|(kind, _)| arm.below(&place.id, *kind)).map(Resource::key).collect();
    for child in children {
        let id = format!("{}/{}/{}", place.id, child.kind.types().last().copied().unwrap_or_default(), child.name);
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
        operation::remove(arm, &key);
    }
}

/// Answers with the resource on its way and the operation that brings it there.
fn accept(arm: &mut Arm, call: &Call, place: &Place, created: bool) -> Reply {
    let word = match place.kind.family() {
        Family::Compute | Family::Aks if created => "Creating",
        _ => "Updating",
    };
    if let Some(resource) = arm.find_mut(&place.id) {
        word.clone_into(&mut resource.state);
    }
    if place.kind.family() == Family::Compute && !created {
        compute::count(arm, &place.id);
    }
    let operation = operation::begin(arm, call, place.kind, &place.id, &place.location, Work::Write { created });
    let (status, style) = match (place.kind.family(), created) {
        (Family::Disk, _) => (202, Announce::Both),
        (_, true) => (201, Announce::Async),
        (_, false) => (200, Announce::Async),
    };
    let mut reply = Reply::json(status, resource::body(arm, &place.id));
    if let Some(etag) =
        arm.find(&place.id).and_then(Resource::shown_etag).filter(|_| place.kind.family() == Family::Compute)
    {
        reply = compute::with_limits(reply.with_header("ETag", etag));
    }
    operation::announce(arm, call, reply, &operation, style)
}
