use serde_json::Value;

use super::call::{Call, Target};
use super::json::{list_at, str_at};
use super::rbac::{self, Wish};
use super::resource::Resource;
use super::state::{Kube, User};
use super::status::Refusal;

/// Refuses a request that its user may not make.
pub(crate) fn check(kube: &Kube, call: &Call, resource: &Resource, target: &Target) -> Result<(), Refusal> {
    let verb = verb(call, target);
    let below =
        target.subresource.as_ref().map_or_else(|| resource.plural.clone(), |sub| format!("{}/{sub}", resource.plural));
    let wish = Wish {
        verb,
        group: &resource.group,
        resource: &below,
        namespace: target.namespace.as_deref().unwrap_or_default(),
        name: target.name.as_deref().unwrap_or_default(),
    };
    if may(kube, &call.user, wish) {
        return Ok(());
    }
    let scope = match wish.namespace {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace \"{namespace}\""),
    };
    let why = format!(
        "User \"{}\" cannot {verb} resource \"{below}\" in API group \"{}\" {scope}",
        call.user.name, resource.group
    );
    Err(Refusal::forbidden(resource, target.name.as_deref(), &why))
}

/// Whether somebody may do something: by roles, or as a node.
pub(crate) fn may(kube: &Kube, user: &User, wish: Wish<'_>) -> bool {
    rbac::may(kube, user, wish) || user.node().is_some_and(|node| node_may(kube, node, wish))
}

fn verb(call: &Call, target: &Target) -> &'static str {
    match (call.method.as_str(), target.name.is_some()) {
        ("GET", _) if call.is_watch() => "watch",
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

/// The node authorizer: what a kubelet may do, by its node's pods where objects are secret.
fn node_may(kube: &Kube, node: &str, wish: Wish<'_>) -> bool {
    let reads = matches!(wish.verb, "get" | "list" | "watch");
    match (wish.group, wish.resource) {
        ("", "nodes") => reads || matches!(wish.verb, "create" | "update" | "patch"),
        ("", "nodes/status" | "pods/status") => matches!(wish.verb, "update" | "patch"),
        ("", "pods") => reads || matches!(wish.verb, "create" | "delete"),
        ("", "pods/eviction" | "events") => wish.verb == "create" || wish.verb == "patch",
        ("", "services") | ("node.k8s.io", "runtimeclasses") => reads,
        ("", "secrets" | "configmaps") => reads && uses(kube, node, wish),
        ("", "serviceaccounts/token") => wish.verb == "create" && runs_as(kube, node, wish),
        ("coordination.k8s.io", "leases") => {
            wish.namespace == "kube-node-lease" && matches!(wish.verb, "get" | "create" | "update" | "patch" | "delete")
        }
        ("certificates.k8s.io", "certificatesigningrequests") => reads || wish.verb == "create",
        ("authentication.k8s.io", "tokenreviews") | ("authorization.k8s.io", "subjectaccessreviews") => {
            wish.verb == "create"
        }
        _ => false,
    }
}

fn pods_of<'a>(kube: &'a Kube, node: &'a str, namespace: &'a str) -> impl Iterator<Item = &'a Value> {
    kube.all("pods")
        .filter(move |pod| str_at(pod, &["spec", "nodeName"]) == node && super::json::namespace_of(pod) == namespace)
}

/// Whether a pod of the node mounts the secret or config map.
fn uses(kube: &Kube, node: &str, wish: Wish<'_>) -> bool {
    let mounts = |volume: &Value| match wish.resource {
        "secrets" => str_at(volume, &["secret", "secretName"]) == wish.name,
        _ => str_at(volume, &["configMap", "name"]) == wish.name,
    };
    !wish.name.is_empty()
        && pods_of(kube, node, wish.namespace).any(|pod| list_at(pod, &["spec", "volumes"]).iter().any(mounts))
}

fn runs_as(kube: &Kube, node: &str, wish: Wish<'_>) -> bool {
    pods_of(kube, node, wish.namespace).any(|pod| str_at(pod, &["spec", "serviceAccountName"]) == wish.name)
}
