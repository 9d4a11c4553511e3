use serde_json::{Map, Value, json};

use super::effect::{Decision, EffectList};
use super::json::{is_terminating, list_at, name_of, remove, set, str_at, uid_of};
use super::request::{ApiRequest, ApiResponse, Target};
use super::resource::Resource;
use super::state::Kube;
use super::status::{Cause, Refusal};
use super::{admission, create, defaults, field_validation, managed, schema, validate};

/// Handles `PUT` of an object or of its status.
///
/// A missing lease is created, as on the real server.
pub(crate) fn replace(
    kube: &Kube,
    request: &ApiRequest,
    resource: &Resource,
    target: &Target,
    subresource: &str,
) -> Result<Decision<ApiResponse>, Refusal> {
    let mut object = request.json()?;
    create::check_kind(resource, &object)?;
    let warnings = field_validation::check_body(request, resource, &mut object)?;
    create::place_it(&mut object, resource, target.namespace.as_deref())?;
    let name = target.name.as_deref().unwrap_or_default();
    if name_of(&object) != name {
        let message =
            format!("the name of the object ({}) does not match the name on the URL ({name})", name_of(&object));
        return Err(Refusal::bad_request(&message));
    }
    let place = resource.place(target.namespace.as_deref().unwrap_or_default(), name);
    let Some(held) = kube.object(resource, &place).cloned() else {
        if subresource.is_empty() && resource.kind == "Lease" {
            let decision = create::insert(kube, request, resource, object, None)?;
            return Ok(decision.map(|object| ApiResponse::created(object).with_warnings(warnings)));
        }
        return Err(Refusal::not_found(resource, name));
    };
    if needs_version(resource) && str_at(&object, &["metadata", "resourceVersion"]).is_empty() {
        let cause = Cause::invalid("metadata.resourceVersion", &json!(0), "must be specified for an update");
        return Err(Refusal::invalid(&resource.group, &resource.plural, name, &[cause]));
    }
    let decision = store(kube, request, resource, &held, object, subresource)?;
    Ok(decision.map(|object| ApiResponse::ok(object).with_warnings(warnings)))
}

/// Returns true if an object can be replaced only under its resource version.
fn needs_version(resource: &Resource) -> bool {
    resource.custom.is_some()
        || matches!(resource.kind.as_str(), "CustomResourceDefinition" | "Lease" | "PodDisruptionBudget")
}

/// Replaces `held` by `new` with admission, defaults, validation and managed fields. Returns the
/// object as it will be stored.
///
/// # Errors
///
/// 409 `Conflict` for an outdated resource version or another UID, and the refusals of admission
/// and validation.
pub(crate) fn store(
    kube: &Kube,
    request: &ApiRequest,
    resource: &Resource,
    held: &Value,
    mut new: Value,
    subresource: &str,
) -> Result<Decision<Value>, Refusal> {
    check_version(resource, held, &new)?;
    admission::update(request, resource, held, &new)?;
    defaults::merge_string_data(resource, &mut new);
    keep(resource, held, &mut new, subresource);
    schema::admit(resource, &mut new)?;
    defaults::complete(resource, &mut new, request.now);
    managed::updated(resource, held, &mut new, request.manager(subresource));
    finish(kube, request, resource, held, new)
}

/// Validates and stores an object whose managed fields are up to date.
///
/// Counts the generation if the specification changed. An update without changes gets no revision,
/// as on the real server. An object without finalizers whose deletion has started is removed.
pub(crate) fn finish(
    kube: &Kube,
    request: &ApiRequest,
    resource: &Resource,
    held: &Value,
    mut new: Value,
) -> Result<Decision<Value>, Refusal> {
    validate::object(resource, &new)?;
    validate::update(resource, held, &new)?;
    if managed::same(held, &new) {
        return Ok(Decision::unchanged(held.clone()));
    }
    if resource.has_generation && specification(held) != specification(&new) {
        let generation = held.pointer("/metadata/generation").and_then(Value::as_u64).unwrap_or_default() + 1;
        set(&mut new, &["metadata", "generation"], json!(generation));
    }
    if request.is_dry_run() {
        return Ok(Decision::unchanged(new));
    }
    let mut effects = EffectList::new(kube);
    let new = effects.put(resource, new);
    let is_released = is_terminating(&new)
        && list_at(&new, &["metadata", "finalizers"]).is_empty()
        && list_at(&new, &["spec", "finalizers"]).is_empty()
        && new.pointer("/metadata/deletionGracePeriodSeconds").is_none_or(|seconds| seconds == &json!(0));
    if is_released {
        effects.remove(resource, resource.place(super::json::namespace_of(&new), name_of(&new)));
    }
    Ok(Decision::new(new, effects))
}

/// Refuses an update of an outdated resource version or of an object with another UID.
fn check_version(resource: &Resource, held: &Value, new: &Value) -> Result<(), Refusal> {
    let (given, uid) = (str_at(new, &["metadata", "resourceVersion"]), uid_of(new));
    if !given.is_empty() && given != str_at(held, &["metadata", "resourceVersion"]) {
        return Err(Refusal::modified(resource, name_of(held)));
    }
    if !uid.is_empty() && uid != uid_of(held) {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{}\": StorageError: invalid object, Code: 4, Key: , ResourceVersion: 0, \
             AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            resource.qualified(),
            name_of(held),
            uid_of(held)
        );
        return Err(Refusal::new(409, "Conflict", &message, None));
    }
    Ok(())
}

/// Fields of metadata that a client cannot change.
const KEPT: [&str; 8] = [
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "generateName",
];

/// Restores in `new` the fields of `held` that a request to this subresource, or to the object
/// itself, does not write.
pub(crate) fn keep(resource: &Resource, held: &Value, new: &mut Value, subresource: &str) {
    set(new, &["apiVersion"], json!(resource.api_version()));
    set(new, &["kind"], json!(resource.kind));
    if subresource == "status" {
        keep_all_but_status(held, new);
    } else if resource.has_status || !subresource.is_empty() {
        carry(held, new, "status");
    }
    for key in KEPT {
        match held.pointer(&format!("/metadata/{key}")) {
            Some(value) => set(new, &["metadata", key], value.clone()),
            None => drop(remove(new, &["metadata", key])),
        }
    }
    let version = held.pointer("/metadata/resourceVersion").cloned().unwrap_or_default();
    set(new, &["metadata", "resourceVersion"], version);
}

/// Restores all fields apart from the status, and the labels and annotations of the request.
fn keep_all_but_status(held: &Value, new: &mut Value) {
    let status = new.get("status").cloned();
    let metadata = new.get("metadata").cloned().unwrap_or_default();
    let mut object: Map<String, Value> = held.as_object().cloned().unwrap_or_default();
    object.shift_remove("status");
    object.extend(status.map(|status| ("status".to_owned(), status)));
    *new = Value::Object(object);
    // Kubelets set annotations together with the status.
    for key in ["annotations", "labels"] {
        if let Some(value) = metadata.get(key) {
            set(new, &["metadata", key], value.clone());
        }
    }
}

/// Restores a field of `held`, or removes it if `held` has none.
fn carry(held: &Value, new: &mut Value, key: &str) {
    match held.get(key) {
        Some(value) => set(new, &[key], value.clone()),
        None => drop(remove(new, &[key])),
    }
}

/// Returns the fields whose changes the generation counts.
fn specification(object: &Value) -> Map<String, Value> {
    let fields = object.as_object().cloned().unwrap_or_default();
    fields.into_iter().filter(|(key, _)| !matches!(key.as_str(), "metadata" | "status")).collect()
}
