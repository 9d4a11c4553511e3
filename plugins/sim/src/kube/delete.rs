use jiff::Timestamp;
use serde_json::{Value, json};

use super::effect::{Decision, EffectList};
use super::json::{at, is_terminating, list_at, name_of, namespace_of, object_mut, rfc3339, set, str_at, uid_of};
use super::request::{ApiRequest, ApiResponse, Target};
use super::resource::Resource;
use super::state::Kube;
use super::status::{self, Refusal};
use super::{admission, selector};

/// Handles `DELETE` of an object.
///
/// The reply is the object while its deletion waits, the removed pod, or a `Status` for other
/// removed objects, as from the real server.
pub(crate) fn delete(
    kube: &Kube,
    request: &ApiRequest,
    resource: &Resource,
    target: &Target,
) -> Result<Decision<ApiResponse>, Refusal> {
    let (options, warnings) = options(request, resource)?;
    let name = target.name.as_deref().unwrap_or_default();
    let place = resource.place(target.namespace.as_deref().unwrap_or_default(), name);
    let held = kube.object(resource, &place).cloned().ok_or_else(|| Refusal::not_found(resource, name))?;
    check_preconditions(resource, &held, &options)?;
    admission::delete(request, resource, &held)?;
    if request.is_dry_run() {
        return Ok(Decision::unchanged(ApiResponse::ok(status::deleted(resource, name, uid_of(&held)))));
    }
    let mut effects = EffectList::new(kube);
    let body = match begin(kube, request.now, resource, &held, &options, &mut effects) {
        Some(going) => going,
        None if resource.kind == "Pod" => held,
        None => status::deleted(resource, name, uid_of(&held)),
    };
    Ok(Decision::new(ApiResponse::ok(body).with_warnings(warnings), effects))
}

/// Handles `DELETE` of a collection. The reply lists the selected objects as they were before.
pub(crate) fn delete_all(
    kube: &Kube,
    request: &ApiRequest,
    resource: &Resource,
    target: &Target,
) -> Result<Decision<ApiResponse>, Refusal> {
    let (options, warnings) = options(request, resource)?;
    let chosen: Vec<Value> =
        selector::select(kube, request, resource, target.namespace.as_deref())?.into_iter().cloned().collect();
    let mut effects = EffectList::new(kube);
    if !request.is_dry_run() {
        for object in &chosen {
            begin(kube, request.now, resource, object, &options, &mut effects);
        }
    }
    let metadata = json!({ "resourceVersion": effects.revision().to_string() });
    let list = json!({ "kind": resource.list_kind, "apiVersion": resource.api_version(), "metadata": metadata, "items": chosen });
    Ok(Decision::new(ApiResponse::ok(list).with_warnings(warnings), effects))
}

/// Warning of a deletion of jobs that names no policy, in the words of the real server.
const KEPT_PODS: &str = "child pods are preserved by default when jobs are deleted; \
    set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning";

/// Returns the `DeleteOptions` of the body, overridden by parameters of the query, and the warnings
/// about them.
///
/// Without a policy, the pods of a job are not removed with it: `DefaultGarbageCollectionPolicy` of
/// jobs in batch/v1.
fn options(request: &ApiRequest, resource: &Resource) -> Result<(Value, Vec<String>), Refusal> {
    let mut options = if request.body.is_empty() { json!({}) } else { request.json()? };
    for (parameter, field) in [("gracePeriodSeconds", "gracePeriodSeconds"), ("propagationPolicy", "propagationPolicy")]
    {
        let Some(text) = request.parameter(parameter) else { continue };
        let value = text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number));
        set(&mut options, &[field], value);
    }
    let is_open = str_at(&options, &["propagationPolicy"]).is_empty() && at(&options, &["orphanDependents"]).is_none();
    if resource.qualified() != "jobs.batch" || !is_open {
        return Ok((options, Vec::new()));
    }
    set(&mut options, &["propagationPolicy"], json!("Orphan"));
    Ok((options, vec![KEPT_PODS.to_owned()]))
}

/// Refuses a deletion if the UID or resource version in its preconditions differs from that of the
/// object.
fn check_preconditions(resource: &Resource, held: &Value, options: &Value) -> Result<(), Refusal> {
    let given = |key: &str| str_at(options, &["preconditions", key]).to_owned();
    let (uid, version) = (given("uid"), given("resourceVersion"));
    if !uid.is_empty() && uid != uid_of(held) {
        return Err(Refusal::precondition(resource, name_of(held), "UID", &uid, uid_of(held)));
    }
    let current = str_at(held, &["metadata", "resourceVersion"]);
    if !version.is_empty() && version != current {
        return Err(Refusal::precondition(resource, name_of(held), "ResourceVersion", &version, current));
    }
    Ok(())
}

/// Starts the deletion of an object.
///
/// Returns the object if it remains until its finalizers are removed or its kubelet has stopped it,
/// and `None` if it is removed. A second deletion only has an effect if its grace period is
/// shorter.
pub(crate) fn begin(
    kube: &Kube,
    now: Timestamp,
    resource: &Resource,
    held: &Value,
    options: &Value,
    effects: &mut EffectList,
) -> Option<Value> {
    if str_at(options, &["propagationPolicy"]) == "Orphan" || at(options, &["orphanDependents"]) == Some(&json!(true)) {
        orphan(kube, held, effects);
    }
    let grace = grace(resource, held, options);
    let waits = !list_at(held, &["metadata", "finalizers"]).is_empty() || resource.kind == "Namespace" || grace > 0;
    let place = resource.place(namespace_of(held), name_of(held));
    if !waits {
        effects.remove(resource, place);
        return None;
    }
    let mut going = held.clone();
    let shorter = going
        .pointer("/metadata/deletionGracePeriodSeconds")
        .and_then(Value::as_i64)
        .is_none_or(|before| grace < before);
    if is_terminating(held) && !shorter {
        return Some(going);
    }
    let due = now.checked_add(jiff::SignedDuration::from_secs(grace)).unwrap_or(now);
    set(&mut going, &["metadata", "deletionTimestamp"], rfc3339(due));
    set(&mut going, &["metadata", "deletionGracePeriodSeconds"], json!(grace));
    if resource.kind == "Namespace" {
        set(&mut going, &["status", "phase"], json!("Terminating"));
    }
    Some(effects.put(resource, going))
}

/// Returns the grace period of a deletion in seconds: that of a pod on a node, or 0 for everything
/// else.
///
/// The options take precedence over the pod; the default is 30 seconds.
fn grace(resource: &Resource, held: &Value, options: &Value) -> i64 {
    if resource.kind != "Pod" || str_at(held, &["spec", "nodeName"]).is_empty() {
        return 0;
    }
    if matches!(str_at(held, &["status", "phase"]), "Succeeded" | "Failed") {
        return 0;
    }
    let requested = at(options, &["gracePeriodSeconds"]).and_then(Value::as_i64);
    requested
        .unwrap_or_else(|| held.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(30))
}

/// Removes the references to `owner` from the objects that it owns, so that they are not collected.
fn orphan(kube: &Kube, owner: &Value, effects: &mut EffectList) {
    let uid = uid_of(owner).to_owned();
    for resource in kube.resources() {
        for mut object in kube.owned_by(&resource.qualified(), &uid) {
            let left: Vec<Value> = list_at(&object, &["metadata", "ownerReferences"])
                .iter()
                .filter(|each| str_at(each, &["uid"]) != uid)
                .cloned()
                .collect();
            object_mut(&mut object, &["metadata"]).insert("ownerReferences".to_owned(), Value::Array(left));
            effects.put(&resource, object);
        }
    }
}
