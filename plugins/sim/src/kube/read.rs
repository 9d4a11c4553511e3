use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::json::{remove, set};
use super::request::{ApiRequest, ApiResponse, Target};
use super::resource::Resource;
use super::selector::Selector;
use super::state::Kube;
use super::status::Refusal;

/// Handles `GET` of an object.
pub(crate) fn get(kube: &Kube, resource: &Resource, target: &Target) -> Result<ApiResponse, Refusal> {
    let name = target.name.as_deref().unwrap_or_default();
    let place = resource.place(target.namespace.as_deref().unwrap_or_default(), name);
    let object = kube.object(resource, &place).ok_or_else(|| Refusal::not_found(resource, name))?;
    Ok(ApiResponse::ok(versioned(resource, object)))
}

/// Returns an object in the requested version. Versions of a custom resource differ in `apiVersion`
/// only.
pub(crate) fn versioned(resource: &Resource, object: &Value) -> Value {
    let mut object = object.clone();
    set(&mut object, &["apiVersion"], json!(resource.api_version()));
    object
}

/// Handles `GET` of a collection.
///
/// With `limit`, `metadata.continue` is the token for the rest, which returns the objects as they
/// were for the first page.
///
/// # Errors
///
/// 410 `Expired` if the revision of the token was compacted.
pub(crate) fn list(
    kube: &Kube,
    request: &ApiRequest,
    resource: &Resource,
    target: &Target,
) -> Result<ApiResponse, Refusal> {
    let selector = Selector::of(request, resource, target.namespace.as_deref())?;
    let (revision, after) = start(kube, request)?;
    let objects = as_of(kube, resource, revision)?;
    let chosen: Vec<(&String, &Value)> = objects
        .iter()
        .filter(|(place, object)| after.as_ref().is_none_or(|after| *place > after) && selector.accepts(object))
        .map(|(place, object)| (place, *object))
        .collect();
    let limit = request
        .parameter("limit")
        .and_then(|limit| limit.parse().ok())
        .filter(|limit| *limit > 0)
        .unwrap_or(usize::MAX);
    let mut metadata = json!({ "resourceVersion": revision.to_string() });
    if chosen.len() > limit {
        metadata["continue"] = json!(continuation(revision, chosen[limit - 1].0));
        metadata["remainingItemCount"] = json!(chosen.len() - limit);
    }
    let items: Vec<Value> = chosen.iter().take(limit).map(|(_, object)| item(resource, object)).collect();
    Ok(ApiResponse::ok(
        json!({ "kind": resource.list_kind, "apiVersion": resource.api_version(), "metadata": metadata, "items": items }),
    ))
}

/// Returns an item of a list. Items of built-in lists have neither `kind` nor `apiVersion`.
fn item(resource: &Resource, object: &Value) -> Value {
    let mut object = versioned(resource, object);
    if resource.custom.is_none() {
        remove(&mut object, &["apiVersion"]);
        remove(&mut object, &["kind"]);
    }
    object
}

/// Returns the token to continue after the object `last`, in the format of the real server.
fn continuation(revision: u64, last: &str) -> String {
    let token = json!({ "v": "meta.k8s.io/v1", "rv": revision, "start": format!("{last}\u{0}") });
    URL_SAFE_NO_PAD.encode(token.to_string())
}

/// Returns the revision that a list shows, and the place after which its page starts.
fn start(kube: &Kube, request: &ApiRequest) -> Result<(u64, Option<String>), Refusal> {
    let Some(token) = request.parameter("continue").filter(|token| !token.is_empty()) else {
        return Ok((kube.revision, None));
    };
    let read = || -> Option<(u64, String)> {
        let token: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
        Some((token.get("rv")?.as_u64()?, token.get("start")?.as_str()?.trim_end_matches('\u{0}').to_owned()))
    };
    let (revision, after) = read().ok_or_else(|| Refusal::bad_request("continue key is not valid"))?;
    Ok((revision, Some(after)))
}

/// Returns the objects of a resource at a revision, reconstructed from the history.
fn as_of<'a>(kube: &'a Kube, resource: &Resource, revision: u64) -> Result<BTreeMap<String, &'a Value>, Refusal> {
    if revision < kube.compacted() {
        let message = "The provided continue parameter is too old to display a consistent list result. You can start a new list \
                       without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
                       results.";
        return Err(Refusal::expired(message));
    }
    let qualified = resource.qualified();
    let now = kube.objects.get(&qualified).into_iter().flatten();
    let mut objects: BTreeMap<String, &Value> = now.map(|(place, object)| (place.clone(), object)).collect();
    for change in kube.history.iter().rev().take_while(|change| change.revision > revision) {
        if change.resource != qualified {
            continue;
        }
        match &change.before {
            Some(before) => objects.insert(change.place.clone(), before),
            None => objects.remove(&change.place),
        };
    }
    Ok(objects)
}
