//! What of the cluster matters: who may do what, what is recorded, how nodes are, and that nothing was left behind.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Kinds whose objects are compared whole.
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

/// Everything but what the server itself says of an object. Names of conditions stay, their moments go.
fn whole(objects: &Value) -> Value {
    each(objects, |object| {
        let mut kept = object.clone();
        if let Some(status) = kept.as_object_mut() {
            status.remove("status");
        }
        kept
    })
}

fn each(objects: &Value, fact: impl Fn(&Value) -> Value) -> Value {
    let objects = objects.as_object().into_iter().flatten();
    objects.map(|(place, object)| (place.clone(), fact(object))).collect::<Map<_, _>>().into()
}

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

fn bootstrap_tokens(secrets: &Value) -> usize {
    let secrets = secrets.as_object().into_iter().flat_map(Map::values);
    secrets.filter(|secret| secret["type"] == "bootstrap.kubernetes.io/token").count()
}

/// Who asked for which certificate, and what became of it.
fn request(request: &Value) -> String {
    let conditions = request["status"]["conditions"].as_array().into_iter().flatten();
    let conditions: Vec<&str> = conditions.filter_map(|one| one["type"].as_str()).collect();
    let issued = request["status"]["certificate"].is_string();
    let signer = request["spec"]["signerName"].as_str().unwrap_or_default();
    format!("{signer} {conditions:?} {}", if issued { "issued" } else { "not issued" })
}

/// Where a pod is and what made it; its name has a random end.
fn pod(pod: &Value) -> String {
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let made_by = match pod["metadata"]["ownerReferences"][0]["name"].as_str() {
        Some(owner) => owner,
        None => text("/metadata/name"),
    };
    format!("{} {made_by} on {}: {}", text("/metadata/namespace"), text("/spec/nodeName"), text("/status/phase"))
}

fn counted(objects: &Value, fact: impl Fn(&Value) -> String) -> Value {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for object in objects.as_object().into_iter().flat_map(Map::values) {
        *counts.entry(fact(object)).or_default() += 1;
    }
    serde_json::to_value(counts).unwrap()
}
