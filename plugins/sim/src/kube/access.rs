use serde_json::Value;

use super::json::{list_at, str_at};
use super::rbac::{self, AccessRequest};
use super::request::{ApiRequest, Target};
use super::state::{Kube, User};
use super::status::Refusal;

/// Refuses a request that its user is not authorized to make, with 403 `Forbidden`.
///
/// Only the path is authorized: the resource may be unknown. The message has the wording of the
/// real server: user, verb, resource, API group and scope.
pub(crate) fn check(kube: &Kube, request: &ApiRequest, target: &Target) -> Result<(), Refusal> {
    let verb = verb(request, target);
    let below =
        target.subresource.as_ref().map_or_else(|| target.plural.clone(), |sub| format!("{}/{sub}", target.plural));
    let access = AccessRequest {
        verb,
        group: &target.group,
        resource: &below,
        namespace: target.namespace.as_deref().unwrap_or_default(),
        name: target.name.as_deref().unwrap_or_default(),
    };
    if may(kube, &request.user, access) {
        return Ok(());
    }
    let scope = match access.namespace {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace \"{namespace}\""),
    };
    let why = format!(
        "User \"{}\" cannot {verb} resource \"{below}\" in API group \"{}\" {scope}",
        request.user.name, target.group
    );
    Err(Refusal::forbidden_in(&target.group, &target.plural, target.name.as_deref(), &why))
}

/// Returns true if a user is authorized: by roles (`rbac`), or as a kubelet by the node authorizer.
pub(crate) fn may(kube: &Kube, user: &User, access: AccessRequest<'_>) -> bool {
    rbac::may(kube, user, access) || user.node().is_some_and(|node| node_may(kube, node, access))
}

/// Returns the verb that authorization checks for a request; empty for a method without one.
fn verb(request: &ApiRequest, target: &Target) -> &'static str {
    match (request.method.as_str(), target.name.is_some()) {
        ("GET", _) if request.is_watch() => "watch",
        ("GET", true) => "get",
        ("GET", false) => "list",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        _ => "",
    }
}

/// Decides as the node authorizer does for the kubelet of `node`.
///
/// Secrets, config maps and tokens are granted only if a pod on the node uses them.
fn node_may(kube: &Kube, node: &str, access: AccessRequest<'_>) -> bool {
    let reads = matches!(access.verb, "get" | "list" | "watch");
    match (access.group, access.resource) {
        ("", "nodes") => reads || matches!(access.verb, "create" | "update" | "patch"),
        ("", "nodes/status" | "pods/status") => matches!(access.verb, "update" | "patch"),
        ("", "pods") => reads || matches!(access.verb, "create" | "delete"),
        ("", "pods/eviction" | "events") => access.verb == "create" || access.verb == "patch",
        ("", "services") | ("node.k8s.io", "runtimeclasses") => reads,
        ("", "secrets" | "configmaps") => reads && uses(kube, node, access),
        ("", "serviceaccounts/token") => access.verb == "create" && runs_as(kube, node, access),
        ("coordination.k8s.io", "leases") => {
            access.namespace == "kube-node-lease"
                && matches!(access.verb, "get" | "create" | "update" | "patch" | "delete")
        }
        ("certificates.k8s.io", "certificatesigningrequests") => reads || access.verb == "create",
        ("authentication.k8s.io", "tokenreviews") | ("authorization.k8s.io", "subjectaccessreviews") => {
            access.verb == "create"
        }
        _ => false,
    }
}

/// Returns the pods of one namespace that are bound to `node`.
fn pods_of<'a>(kube: &'a Kube, node: &'a str, namespace: &'a str) -> impl Iterator<Item = &'a Value> {
    kube.all("pods")
        .filter(move |pod| str_at(pod, &["spec", "nodeName"]) == node && super::json::namespace_of(pod) == namespace)
}

/// Returns true if a pod on the node mounts the secret or config map as a volume.
fn uses(kube: &Kube, node: &str, access: AccessRequest<'_>) -> bool {
    let mounts = |volume: &Value| match access.resource {
        "secrets" => str_at(volume, &["secret", "secretName"]) == access.name,
        _ => str_at(volume, &["configMap", "name"]) == access.name,
    };
    !access.name.is_empty()
        && pods_of(kube, node, access.namespace).any(|pod| list_at(pod, &["spec", "volumes"]).iter().any(mounts))
}

/// Returns true if a pod on the node runs as the service account.
fn runs_as(kube: &Kube, node: &str, access: AccessRequest<'_>) -> bool {
    pods_of(kube, node, access.namespace).any(|pod| str_at(pod, &["spec", "serviceAccountName"]) == access.name)
}
