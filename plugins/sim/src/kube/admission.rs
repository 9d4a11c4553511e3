use serde_json::{Value, json};

use super::defaults;
use super::json::{list_at, name_of, namespace_of, object_mut, str_at};
use super::request::ApiRequest;
use super::resource::Resource;
use super::state::User;
use super::status::Refusal;

/// Admits a new object: completes it as the admission plugins do, or refuses it.
///
/// A node gets the taint of a node that is not ready, a pod its defaults.
pub(crate) fn create(request: &ApiRequest, resource: &Resource, object: &mut Value) -> Result<(), Refusal> {
    restrict_node(request, resource, object)?;
    match resource.qualified().as_str() {
        "nodes" => taint_new_node(object),
        "pods" => defaults::admitted_pod(object),
        _ => {}
    }
    Ok(())
}

/// Refuses changes of an existing object that `NodeRestriction` forbids.
///
/// A kubelet cannot set or change labels under `node-restriction.kubernetes.io/`, not even on its
/// own node.
pub(crate) fn update(request: &ApiRequest, resource: &Resource, held: &Value, new: &Value) -> Result<(), Refusal> {
    restrict_node(request, resource, held)?;
    let is_protected = |key: &&String| key.starts_with("node-restriction.kubernetes.io/");
    let labels = |object: &Value| super::json::object_at(object, &["metadata", "labels"]).cloned().unwrap_or_default();
    if let (Some(node), "nodes") = (request.user.node(), resource.qualified().as_str()) {
        let (before, after) = (labels(held), labels(new));
        let changed: Vec<&String> =
            after.keys().filter(is_protected).filter(|key| before.get(*key) != after.get(*key)).collect();
        if let [first, ..] = changed.as_slice() {
            let why = format!("is not allowed to modify labels: {first}");
            return Err(Refusal::forbidden(resource, Some(node), &why));
        }
    }
    Ok(())
}

/// Refuses the deletion of a system namespace, and deletions that `NodeRestriction` forbids.
pub(crate) fn delete(request: &ApiRequest, resource: &Resource, held: &Value) -> Result<(), Refusal> {
    let fixed = ["default", "kube-system", "kube-public", "kube-node-lease"];
    if resource.qualified() == "namespaces" && fixed.contains(&name_of(held)) {
        return Err(Refusal::forbidden(resource, Some(name_of(held)), "this namespace may not be deleted"));
    }
    restrict_node(request, resource, held)
}

/// Applies `NodeRestriction`: a kubelet writes its own node, its own lease and pods bound to its
/// node.
///
/// Requests of other users pass unchecked.
fn restrict_node(request: &ApiRequest, resource: &Resource, object: &Value) -> Result<(), Refusal> {
    let Some(node) = request.user.node() else { return Ok(()) };
    let name = name_of(object);
    let refuse = |why: String| Err(Refusal::forbidden(resource, Some(name), &why));
    match resource.qualified().as_str() {
        "nodes" if name != node => refuse(format!("node \"{node}\" is not allowed to modify node \"{name}\"")),
        "leases.coordination.k8s.io" if name != node => {
            refuse("can only access node lease with the same name as the requesting node".to_owned())
        }
        "leases.coordination.k8s.io" if namespace_of(object) != "kube-node-lease" => {
            refuse("can only access leases in the \"kube-node-lease\" system namespace".to_owned())
        }
        "pods" if str_at(object, &["spec", "nodeName"]) != node => {
            refuse(format!("node \"{node}\" can only create pods with spec.nodeName set to itself"))
        }
        _ => Ok(()),
    }
}

/// Taints a new node that does not report the condition `Ready`, so that no pod is scheduled on it.
fn taint_new_node(node: &mut Value) {
    let key = "node.kubernetes.io/not-ready";
    let mut taints = list_at(node, &["spec", "taints"]).to_vec();
    if !super::json::holds(node, "Ready") && !taints.iter().any(|taint| str_at(taint, &["key"]) == key) {
        taints.push(json!({ "key": key, "effect": "NoSchedule" }));
        object_mut(node, &["spec"]).insert("taints".to_owned(), Value::Array(taints));
    }
}

/// Records the requesting user in a new `CertificateSigningRequest`.
///
/// Values that the client sent are overwritten; other kinds are unchanged.
pub(crate) fn sign(request: &ApiRequest, resource: &Resource, object: &mut Value) {
    if resource.kind != "CertificateSigningRequest" {
        return;
    }
    let User { name, groups, uid } = &request.user;
    let spec = object_mut(object, &["spec"]);
    spec.insert("username".to_owned(), json!(name));
    spec.insert("groups".to_owned(), json!(groups));
    if !uid.is_empty() {
        spec.insert("uid".to_owned(), json!(uid));
    }
}
