//! Relevant state of the cluster: permissions, recorded objects, nodes, and the absence of
//! leftovers.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Types of objects that are compared completely.
const WHOLE: &[&str] = &[
    "clusterrolebindings.rbac.authorization.k8s.io",
    "clusterroles.rbac.authorization.k8s.io",
    "configmaps",
    "customresourcedefinitions.apiextensions.k8s.io",
    "rolebindings.rbac.authorization.k8s.io",
    "roles.rbac.authorization.k8s.io",
    "serviceaccounts",
    "servers.stargate.io",
    "sites.stargate.io",
];

/// Returns the comparable state of the cluster.
pub(crate) fn of(kube: &Value) -> Value {
    let objects = &kube["objects"];
    let mut facts: Map<String, Value> = WHOLE.iter().map(|kind| ((*kind).to_owned(), whole(&objects[*kind]))).collect();
    facts.insert("nodes".into(), each(&objects["nodes"], node));
    facts.insert("ciliumnodes".into(), each(&objects["ciliumnodes.cilium.io"], |one| one["spec"]["ipam"].clone()));
    facts.insert("bootstrap tokens".into(), bootstrap_tokens(&objects["secrets"]).into());
    let requests = &objects["certificatesigningrequests.certificates.k8s.io"];
    facts.insert("certificate requests".into(), counted(requests, request));
    facts.insert("pods".into(), counted(&objects["pods"], pod));
    facts.into()
}

/// Returns the objects without their status, which the server maintains.
fn whole(objects: &Value) -> Value {
    each(objects, |object| {
        let mut kept = object.clone();
        if let Some(status) = kept.as_object_mut() {
            status.remove("status");
        }
        kept
    })
}

/// Applies `fact` to each object and keeps the keys.
fn each(objects: &Value, fact: impl Fn(&Value) -> Value) -> Value {
    let objects = objects.as_object().into_iter().flatten();
    objects.map(|(place, object)| (place.clone(), fact(object))).collect::<Map<_, _>>().into()
}

/// Returns the comparable properties of a node.
fn node(node: &Value) -> Value {
    let ready = node["status"]["conditions"].as_array().into_iter().flatten().find(|one| one["type"] == "Ready");
    json!({
        "labels": node["metadata"]["labels"],
        "annotations": node["metadata"]["annotations"],
        "spec": node["spec"],
        "addresses": node["status"]["addresses"],
        "version": node["status"]["nodeInfo"]["kubeletVersion"],
        "ready": ready.map(|ready| ready["status"].clone()),
    })
}

/// Returns the number of bootstrap tokens.
fn bootstrap_tokens(secrets: &Value) -> usize {
    let secrets = secrets.as_object().into_iter().flat_map(Map::values);
    secrets.filter(|secret| secret["type"] == "bootstrap.kubernetes.io/token").count()
}

/// Describes a certificate request: its signer, its conditions and its result.
fn request(request: &Value) -> String {
    let conditions = request["status"]["conditions"].as_array().into_iter().flatten();
    let conditions: Vec<&str> = conditions.filter_map(|one| one["type"].as_str()).collect();
    let issued = request["status"]["certificate"].is_string();
    let signer = request["spec"]["signerName"].as_str().unwrap_or_default();
    format!("{signer} {conditions:?} {}", if issued { "issued" } else { "not issued" })
}

/// Describes a pod by namespace, owner, node and phase, because its name ends with random
/// characters.
fn pod(pod: &Value) -> String {
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let made_by = match pod["metadata"]["ownerReferences"][0]["name"].as_str() {
        Some(owner) => owner,
        None => text("/metadata/name"),
    };
    format!("{} {made_by} on {}: {}", text("/metadata/namespace"), text("/spec/nodeName"), text("/status/phase"))
}

/// Counts equal descriptions of objects.
fn counted(objects: &Value, fact: impl Fn(&Value) -> String) -> Value {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for object in objects.as_object().into_iter().flat_map(Map::values) {
        *counts.entry(fact(object)).or_default() += 1;
    }
    serde_json::to_value(counts).unwrap()
}
