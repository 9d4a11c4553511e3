use super::call::{Call, Reply, Target};
use super::effect::Decision;
use super::resource::Resource;
use super::state::Kube;
use super::status::Refusal;
use super::{
    access, approval, create, delete, discovery, eviction, log, patch_call, rbac, read, review, scale, token, update,
};

/// Decides on a request: the reply, and the changes that it causes. Changes nothing itself.
///
/// The user is authorized for the path first, then the resource is resolved and the object read: a
/// user without permission cannot find out which resources are served.
pub(crate) fn handle(kube: &Kube, call: &Call) -> Result<Decision<Reply>, Refusal> {
    if let Some(reply) = discovery::answer(kube, call) {
        return reply.map(Decision::unchanged);
    }
    let target = Target::of_path(&call.path).ok_or_else(|| unknown_path(kube, call))?;
    if let Some(reply) = review::answer(kube, call, &target) {
        return reply.map(Decision::unchanged);
    }
    access::check(kube, call, &target)?;
    let resource = kube.resource(&target.group, &target.version, &target.plural).ok_or_else(Refusal::no_such_path)?;
    act(kube, call, &resource, &target)
}

/// Returns the refusal for an unknown path: 404, or 403 if the user is not authorized for the path.
fn unknown_path(kube: &Kube, call: &Call) -> Refusal {
    let verb = call.method.to_ascii_lowercase();
    if rbac::may_path(kube, &call.user, &verb, &call.path) {
        return Refusal::no_such_path();
    }
    let message = format!("forbidden: User \"{}\" cannot {verb} path \"{}\"", call.user.name, call.path);
    Refusal::new(403, "Forbidden", &message, Some(serde_json::json!({})))
}

/// Handles a request for an object or a collection.
fn act(kube: &Kube, call: &Call, resource: &Resource, target: &Target) -> Result<Decision<Reply>, Refusal> {
    if let Some(subresource) = target.subresource.as_deref() {
        return below(kube, call, resource, target, subresource);
    }
    match (call.method.as_str(), target.name.as_deref()) {
        ("GET", None) => read::list(kube, call, resource, target).map(Decision::unchanged),
        ("GET", Some(_)) => read::get(kube, resource, target).map(Decision::unchanged),
        ("POST", None) => create::create(kube, call, resource, target),
        ("PUT", Some(_)) => update::replace(kube, call, resource, target, ""),
        ("PATCH", Some(_)) => patch_call::patch(kube, call, resource, target, ""),
        ("DELETE", Some(_)) => delete::delete(kube, call, resource, target),
        ("DELETE", None) => delete::delete_all(kube, call, resource, target),
        _ => Err(Refusal::method_not_allowed()),
    }
}

/// Handles a request for a subresource.
fn below(
    kube: &Kube,
    call: &Call,
    resource: &Resource,
    target: &Target,
    subresource: &str,
) -> Result<Decision<Reply>, Refusal> {
    if !resource.subresources().contains(&subresource) {
        return Err(Refusal::no_such_path());
    }
    match (subresource, call.method.as_str()) {
        ("eviction", "POST") => eviction::evict(kube, call, resource, target),
        ("binding", "POST") => create::bind(kube, call, resource, target),
        ("token", "POST") => token::request(kube, call, resource, target).map(Decision::unchanged),
        ("scale", _) => scale::answer(kube, call, resource, target),
        ("approval", "PUT" | "PATCH") => approval::write(kube, call, resource, target),
        ("log", "GET") => log::read(kube, call, resource, target).map(Decision::unchanged),
        ("exec", "GET" | "POST") => Err(Refusal::bad_request("Upgrade request required")),
        ("status" | "approval" | "finalize", "GET") => read::get(kube, resource, target).map(Decision::unchanged),
        ("status" | "finalize", "PUT") => update::replace(kube, call, resource, target, subresource),
        ("status", "PATCH") => patch_call::patch(kube, call, resource, target, subresource),
        _ => Err(Refusal::method_not_allowed()),
    }
}
