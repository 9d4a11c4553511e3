use serde_json::{Value, json};

use super::effect::Decision;
use super::json::{at, name_of, namespace_of, set, str_at, uid_of};
use super::request::{ApiRequest, ApiResponse, Target};
use super::resource::Resource;
use super::state::Kube;
use super::status::Refusal;
use super::{patch_request, update};

/// Handles `GET`, `PUT` and `PATCH` of the `scale` of a workload.
///
/// A write without `spec.replicas` scales to 0.
pub(crate) fn answer(
    kube: &Kube,
    request: &ApiRequest,
    resource: &Resource,
    target: &Target,
) -> Result<Decision<ApiResponse>, Refusal> {
    let name = target.name.as_deref().unwrap_or_default();
    let place = resource.place(target.namespace.as_deref().unwrap_or_default(), name);
    let held = kube.object(resource, &place).cloned().ok_or_else(|| Refusal::not_found(resource, name))?;
    let scaled = match request.method.as_str() {
        "GET" => return Ok(Decision::unchanged(ApiResponse::ok(scale(&held)))),
        "PUT" => request.json()?,
        "PATCH" => patch_request::patched(resource, &scale(&held), &request.content_type, &request.json()?)?,
        _ => return Err(Refusal::method_not_allowed()),
    };
    let mut new = held.clone();
    set(&mut new, &["spec", "replicas"], at(&scaled, &["spec", "replicas"]).cloned().unwrap_or_else(|| json!(0)));
    set(&mut new, &["metadata", "resourceVersion"], json!(str_at(&scaled, &["metadata", "resourceVersion"])));
    update::store(kube, request, resource, &held, new, "")
        .map(|decision| decision.map(|stored| ApiResponse::ok(scale(&stored))))
}

/// Returns the `Scale` of a workload.
fn scale(object: &Value) -> Value {
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": name_of(object),
            "namespace": namespace_of(object),
            "uid": uid_of(object),
            "resourceVersion": str_at(object, &["metadata", "resourceVersion"]),
            "creationTimestamp": str_at(object, &["metadata", "creationTimestamp"]),
        },
        "spec": { "replicas": at(object, &["spec", "replicas"]) },
        "status": { "replicas": at(object, &["status", "replicas"]).cloned().unwrap_or_else(|| json!(0)) },
    })
}
