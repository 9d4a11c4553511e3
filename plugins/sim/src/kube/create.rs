use serde_json::{Value, json};

use super::effect::{Decision, Effect, EffectList, FieldEdit};
use super::json::{at, is_terminating, name_of, namespace_of, remove, set, str_at};
use super::request::{ApiRequest, ApiResponse, Target};
use super::resource::{Resource, core};
use super::state::Kube;
use super::status::Refusal;
use super::{admission, defaults, field_validation, managed, new_object, schema, services, validate};

/// Handles `POST` to a collection: creates an object, with a generated name if it has only
/// `generateName`.
pub(crate) fn create(
    kube: &Kube,
    request: &ApiRequest,
    resource: &Resource,
    target: &Target,
) -> Result<Decision<ApiResponse>, Refusal> {
    let mut object = request.json()?;
    check_kind(resource, &object)?;
    let warnings = field_validation::check_body(request, resource, &mut object)?;
    name_it(&mut object, resource, target)?;
    let decision = insert(kube, request, resource, object, None)?;
    Ok(decision.map(|object| ApiResponse::created(object).with_warnings(warnings)))
}

/// Decides on a new object. With `applied`, the object has its field owners already, as after an
/// apply.
///
/// A dry run returns the object that would be stored, without a resource version.
///
/// # Errors
///
/// 409 `AlreadyExists`, 404 for a missing namespace, 403 or 422 if admission or validation fails.
pub(crate) fn insert(
    kube: &Kube,
    request: &ApiRequest,
    resource: &Resource,
    mut object: Value,
    applied: Option<()>,
) -> Result<Decision<Value>, Refusal> {
    let name = name_of(&object).to_owned();
    check_namespace(kube, resource, namespace_of(&object))?;
    if kube.object(resource, &resource.place(namespace_of(&object), &name)).is_some() {
        return Err(Refusal::already_exists(resource, &name));
    }
    admission::create(request, resource, &mut object)?;
    schema::admit(resource, &mut object)?;
    let owners = remove(&mut object, &["metadata", "managedFields"]);
    if resource.has_status && !keeps_status(resource) {
        remove(&mut object, &["status"]);
    }
    defaults::merge_string_data(resource, &mut object);
    if applied.is_none() {
        managed::updated(resource, &Value::Null, &mut object, request.manager(""));
    } else if let Some(owners) = owners {
        set(&mut object, &["metadata", "managedFields"], owners);
    }
    new_object::complete(resource, &mut object, request.now);
    admission::sign(request, resource, &mut object);
    services::assign_address(kube, resource, &mut object);
    validate::object(resource, &object)?;
    validate::unique(kube, resource, &object)?;
    if request.is_dry_run() {
        remove(&mut object, &["metadata", "resourceVersion"]);
        return Ok(Decision::unchanged(object));
    }
    let mut effects = EffectList::new(kube);
    let stored = effects.put(resource, object);
    Ok(Decision::new(stored, effects))
}

/// Returns true if a client sets the status of a new object, which only the kubelet of a node does.
fn keeps_status(resource: &Resource) -> bool {
    resource.kind == "Node" && resource.group.is_empty()
}

/// Refuses an object whose kind or API version differs from that of the path.
///
/// A built-in object without either is accepted, as by the real server.
pub(crate) fn check_kind(resource: &Resource, object: &Value) -> Result<(), Refusal> {
    let (kind, version) = (str_at(object, &["kind"]), str_at(object, &["apiVersion"]));
    if !object.is_object() {
        return Err(Refusal::bad_request("the object provided is unrecognized (must be of type Object)"));
    }
    let same = (kind.is_empty() || kind == resource.kind) && (version.is_empty() || version == resource.api_version());
    if same && (!kind.is_empty() || resource.custom.is_none()) {
        return Ok(());
    }
    let message = format!(
        "{kind} in version \"{version}\" cannot be handled as a {}: no kind \"{kind}\" is registered for version \"{version}\"",
        resource.kind
    );
    Err(Refusal::bad_request(&message))
}

/// Names a new object, and places it in the namespace of the path.
fn name_it(object: &mut Value, resource: &Resource, target: &Target) -> Result<(), Refusal> {
    let prefix = str_at(object, &["metadata", "generateName"]).to_owned();
    if name_of(object).is_empty() {
        if prefix.is_empty() {
            let cause = super::status::Cause::required("metadata.name", "name or generateName is required");
            return Err(Refusal::invalid(&resource.group, &resource.kind, "", &[cause]));
        }
        set(object, &["metadata", "name"], json!(format!("{prefix}{}", new_object::suffix())));
    }
    place_it(object, resource, target.namespace.as_deref())
}

/// Sets the namespace of an object to that of the path, or refuses an object that names another.
pub(crate) fn place_it(object: &mut Value, resource: &Resource, namespace: Option<&str>) -> Result<(), Refusal> {
    let Some(namespace) = namespace.filter(|_| resource.namespaced) else {
        if resource.namespaced {
            return Err(Refusal::method_not_allowed());
        }
        remove(object, &["metadata", "namespace"]);
        return Ok(());
    };
    let given = namespace_of(object);
    if !given.is_empty() && given != namespace {
        let message = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Refusal::bad_request(message));
    }
    set(object, &["metadata", "namespace"], json!(namespace));
    Ok(())
}

/// Refuses a new object whose namespace is missing or being deleted.
fn check_namespace(kube: &Kube, resource: &Resource, namespace: &str) -> Result<(), Refusal> {
    if !resource.namespaced {
        return Ok(());
    }
    let namespaces = core("namespaces");
    let held = kube.object(&namespaces, namespace).ok_or_else(|| Refusal::not_found(&namespaces, namespace))?;
    if is_terminating(held) {
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        return Err(Refusal::forbidden(resource, None, &why));
    }
    Ok(())
}

/// Handles `POST` to the `binding` of a pod, with which a scheduler assigns the pod to a node.
pub(crate) fn bind(
    kube: &Kube,
    request: &ApiRequest,
    resource: &Resource,
    target: &Target,
) -> Result<Decision<ApiResponse>, Refusal> {
    let (namespace, name) =
        (target.namespace.as_deref().unwrap_or_default(), target.name.as_deref().unwrap_or_default());
    let place = resource.place(namespace, name);
    let pod = kube.object(resource, &place).ok_or_else(|| Refusal::not_found(resource, name))?;
    if !str_at(pod, &["spec", "nodeName"]).is_empty() {
        let message =
            format!("Operation cannot be fulfilled on pods/binding \"{name}\": pod {name} is already assigned to node");
        return Err(Refusal::new(409, "Conflict", &message, Some(json!({ "name": name, "kind": "pods/binding" }))));
    }
    let node = request.json()?;
    let node = at(&node, &["target", "name"]).cloned().unwrap_or_default();
    let effect = Effect::Edit {
        resource: resource.clone(),
        key: place,
        manager: request.manager("").name.to_owned(),
        fields: vec![FieldEdit::set(&["spec", "nodeName"], node)],
    };
    let response = ApiResponse::created(
        json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 }),
    );
    Ok(Decision { value: response, effects: vec![effect] })
}
