use serde_json::{Value, json};

use super::effect::Decision;
use super::json::{at, name_of, remove, str_at};
use super::managed;
use super::request::{ApiRequest, ApiResponse, Target};
use super::resource::Resource;
use super::state::Kube;
use super::status::{Cause, Refusal};
use super::{admission, apply, create, defaults, field_validation, patch, schema, strategic, update};

/// Media type of a JSON patch.
const JSON: &str = "application/json-patch+json";
/// Media type of a JSON merge patch.
const MERGE: &str = "application/merge-patch+json";
/// Media type of a strategic merge patch, for built-in objects only.
const STRATEGIC: &str = "application/strategic-merge-patch+json";
/// Media type of a server-side apply.
const APPLY: &str = "application/apply-patch+yaml";

/// Handles `PATCH` of an object or of its status, by the media type of the body.
///
/// # Errors
///
/// 415 `UnsupportedMediaType`, 404 for a missing object, 422 for a changed name, and the refusals
/// of an update.
pub(crate) fn patch(
    kube: &Kube,
    request: &ApiRequest,
    resource: &Resource,
    target: &Target,
    subresource: &str,
) -> Result<Decision<ApiResponse>, Refusal> {
    let kind = media_type(request);
    if kind == APPLY {
        return server_side(kube, request, resource, target, subresource);
    }
    let accepted: &[&str] =
        if resource.custom.is_some() { &[JSON, MERGE, APPLY] } else { &[JSON, MERGE, STRATEGIC, APPLY] };
    if !accepted.contains(&kind) {
        return Err(Refusal::media_type(accepted));
    }
    let name = target.name.as_deref().unwrap_or_default();
    let place = resource.place(target.namespace.as_deref().unwrap_or_default(), name);
    let held = kube.object(resource, &place).cloned().ok_or_else(|| Refusal::not_found(resource, name))?;
    let (new, warnings) = checked(request, resource, &held)?;
    if name_of(&new) != name {
        let cause = Cause::invalid("metadata.name", &json!(name_of(&new)), "field is immutable");
        return Err(Refusal::invalid(&resource.group, &resource.kind, name, &[cause]));
    }
    let decision = update::store(kube, request, resource, &held, new, subresource)?;
    Ok(decision.map(|object| ApiResponse::ok(object).with_warnings(warnings)))
}

/// Returns the media type of the body, without parameters.
fn media_type(request: &ApiRequest) -> &str {
    request.content_type.split(';').next().unwrap_or_default().trim()
}

/// Returns an object after the patch of the body, checked against its type, with the warnings.
pub(crate) fn checked(
    request: &ApiRequest,
    resource: &Resource,
    held: &Value,
) -> Result<(Value, Vec<String>), Refusal> {
    let (kind, body) = (media_type(request), request.json()?);
    let mut new = patched(resource, held, kind, &body)?;
    let strategic = (kind == STRATEGIC).then_some(&body);
    let warnings = field_validation::check_patched(request, resource, &mut new, strategic)?;
    Ok((new, warnings))
}

/// Returns an object after a patch of media type `kind`.
pub(crate) fn patched(resource: &Resource, held: &Value, kind: &str, body: &Value) -> Result<Value, Refusal> {
    let mut new = held.clone();
    match kind {
        JSON => patch::json_patch(&mut new, body)?,
        STRATEGIC => strategic::merge(&resource.kind, &mut new, body),
        _ => patch::merge(&mut new, body),
    }
    Ok(new)
}

/// Handles a server-side apply. Creates the object if it does not exist.
fn server_side(
    kube: &Kube,
    request: &ApiRequest,
    resource: &Resource,
    target: &Target,
    subresource: &str,
) -> Result<Decision<ApiResponse>, Refusal> {
    check_manager(request)?;
    let mut applied = request.json()?;
    let name = target.name.as_deref().unwrap_or_default();
    check_applied(resource, &applied, name)?;
    field_validation::check_applied(resource, &mut applied)?;
    create::place_it(&mut applied, resource, target.namespace.as_deref())?;
    apply::complete(resource, &mut applied, target.namespace.as_deref().unwrap_or_default(), name);
    defaults::merge_string_data(resource, &mut applied);
    let by = request.manager(subresource);
    let place = resource.place(target.namespace.as_deref().unwrap_or_default(), name);
    let Some(held) = kube.object(resource, &place).cloned() else {
        if !subresource.is_empty() {
            return Err(Refusal::not_found(resource, name));
        }
        let new = apply::apply(resource, &Value::Null, &applied, by, false)?;
        return create::insert(kube, request, resource, new, Some(()))
            .map(|decision| decision.map(ApiResponse::created));
    };
    let version = str_at(&applied, &["metadata", "resourceVersion"]);
    if !version.is_empty() && version != str_at(&held, &["metadata", "resourceVersion"]) {
        return Err(Refusal::modified(resource, name));
    }
    restrict(resource, &mut applied, subresource);
    admission::update(request, resource, &held, &applied)?;
    let mut new = apply::apply(resource, &held, &applied, by, request.is_set("force"))?;
    let owners = managed::entries(&new);
    remove(&mut new, &["metadata", "managedFields"]);
    update::keep(resource, &held, &mut new, subresource);
    schema::admit(resource, &mut new)?;
    defaults::complete(resource, &mut new, request.now);
    managed::store(&mut new, owners);
    update::finish(kube, request, resource, &held, new).map(|decision| decision.map(ApiResponse::ok))
}

/// Removes the fields that an apply to this subresource, or to the object itself, does not write.
fn restrict(resource: &Resource, applied: &mut Value, subresource: &str) {
    if subresource == "status" {
        remove(applied, &["spec"]);
    } else if resource.has_status {
        remove(applied, &["status"]);
    }
}

/// Requires the parameter `fieldManager`, which an apply must have.
fn check_manager(request: &ApiRequest) -> Result<(), Refusal> {
    if request.parameter("fieldManager").is_some_and(|name| !name.is_empty()) {
        return Ok(());
    }
    let cause = Cause::required("fieldManager", "is required for apply patch");
    Err(Refusal::invalid("meta.k8s.io", "PatchOptions", "", &[cause]))
}

/// Requires kind, API version and name of an applied object to match its path, and no managed
/// fields.
fn check_applied(resource: &Resource, applied: &Value, name: &str) -> Result<(), Refusal> {
    if at(applied, &["metadata", "managedFields"])
        .is_some_and(|fields| fields.as_array().is_none_or(|list| !list.is_empty()))
    {
        return Err(Refusal::bad_request("metadata.managedFields must be nil"));
    }
    if str_at(applied, &["kind"]).is_empty() || str_at(applied, &["apiVersion"]).is_empty() {
        return Err(Refusal::bad_request("invalid object type: /, Kind="));
    }
    create::check_kind(resource, applied)?;
    let given = name_of(applied);
    if !given.is_empty() && given != name {
        let message = format!("the name of the object ({given}) does not match the name on the URL ({name})");
        return Err(Refusal::bad_request(&message));
    }
    Ok(())
}
