use super::effect::Decision;
use super::request::{ApiRequest, ApiResponse, Target};
use super::resource::Resource;
use super::state::Kube;
use super::status::Refusal;
use super::{
    access, approval, create, delete, discovery, eviction, log, patch_request, rbac, read, review, scale, token, update,
};

/// Decides on a request: the reply, and the changes that it causes. Changes nothing itself.
///
/// The user is authorized for the path first, then the resource is resolved and the object read: a
/// user without permission cannot find out which resources are served.
pub(crate) fn handle(kube: &Kube, request: &ApiRequest) -> Result<Decision<ApiResponse>, Refusal> {
    if let Some(response) = discovery::answer(kube, request) {
        return response.map(Decision::unchanged);
    }
    let target = Target::of_path(&request.path).ok_or_else(|| unknown_path(kube, request))?;
    if let Some(response) = review::answer(kube, request, &target) {
        return response.map(Decision::unchanged);
    }
    access::check(kube, request, &target)?;
    let resource = kube.resource(&target.group, &target.version, &target.plural).ok_or_else(Refusal::no_such_path)?;
    act(kube, request, &resource, &target)
}

/// Returns the refusal for an unknown path: 404, or 403 if the user is not authorized for the path.
fn unknown_path(kube: &Kube, request: &ApiRequest) -> Refusal {
    let verb = request.method.to_ascii_lowercase();
    if rbac::may_path(kube, &request.user, &verb, &request.path) {
        return Refusal::no_such_path();
    }
    let message = format!("forbidden: User \"{}\" cannot {verb} path \"{}\"", request.user.name, request.path);
    Refusal::new(403, "Forbidden", &message, Some(serde_json::json!({})))
}

/// Handles a request for an object or a collection.
fn act(
    kube: &Kube,
    request: &ApiRequest,
    resource: &Resource,
    target: &Target,
) -> Result<Decision<ApiResponse>, Refusal> {
    if let Some(subresource) = target.subresource.as_deref() {
        return below(kube, request, resource, target, subresource);
    }
    match (request.method.as_str(), target.name.as_deref()) {
        ("GET", None) => read::list(kube, request, resource, target).map(Decision::unchanged),
        ("GET", Some(_)) => read::get(kube, resource, target).map(Decision::unchanged),
        ("POST", None) => create::create(kube, request, resource, target),
        ("PUT", Some(_)) => update::replace(kube, request, resource, target, ""),
        ("PATCH", Some(_)) => patch_request::patch(kube, request, resource, target, ""),
        ("DELETE", Some(_)) => delete::delete(kube, request, resource, target),
        ("DELETE", None) => delete::delete_all(kube, request, resource, target),
        _ => Err(Refusal::method_not_allowed()),
    }
}

/// Handles a request for a subresource.
fn below(
    kube: &Kube,
    request: &ApiRequest,
    resource: &Resource,
    target: &Target,
    subresource: &str,
) -> Result<Decision<ApiResponse>, Refusal> {
    if !resource.subresources().contains(&subresource) {
        return Err(Refusal::no_such_path());
    }
    match (subresource, request.method.as_str()) {
        ("eviction", "POST") => eviction::evict(kube, request, resource, target),
        ("binding", "POST") => create::bind(kube, request, resource, target),
        ("token", "POST") => token::request(kube, request, resource, target).map(Decision::unchanged),
        ("scale", _) => scale::answer(kube, request, resource, target),
        ("approval", "PUT" | "PATCH") => approval::write(kube, request, resource, target),
        ("log", "GET") => log::read(kube, request, resource, target).map(Decision::unchanged),
        ("exec", "GET" | "POST") => Err(Refusal::bad_request("Upgrade request required")),
        ("status" | "approval" | "finalize", "GET") => read::get(kube, resource, target).map(Decision::unchanged),
        ("status" | "finalize", "PUT") => update::replace(kube, request, resource, target, subresource),
        ("status", "PATCH") => patch_request::patch(kube, request, resource, target, subresource),
        _ => Err(Refusal::method_not_allowed()),
    }
}
