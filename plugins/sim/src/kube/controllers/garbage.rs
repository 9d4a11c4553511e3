use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use crate::kube::effect::Effect;
use crate::kube::json::{list_at, name_of, namespace_of, str_at};
use crate::kube::resource::Resource;
use crate::kube::state::Kube;

/// Returns one item, because one pass collects the whole cluster.
pub(super) fn due(_: &Kube, _: Timestamp) -> Vec<Value> {
    vec![Value::Null]
}

/// Removes objects whose owners are all deleted, pods whose node is deleted, and objects whose
/// definition is deleted.
pub(super) fn collect(kube: &Kube, _: &Value, _: Timestamp) -> Vec<Effect> {
    let resources = kube.resources();
    let objects = kube.objects.values().flat_map(BTreeMap::values);
    let alive: BTreeSet<&str> = objects.map(|object| str_at(object, &["metadata", "uid"])).collect();
    let mut effects = Vec::new();
    for resource in &resources {
        let is_pods = resource.qualified() == "pods";
        let lost = kube
            .all(&resource.qualified())
            .filter(|object| is_lost(object, &alive) || (is_pods && is_homeless(kube, object)));
        effects.extend(lost.map(|object| Effect::Remove {
            resource: resource.clone(),
            key: resource.place(namespace_of(object), name_of(object)),
        }));
    }
    let served: BTreeSet<String> = resources.iter().map(Resource::qualified).collect();
    let undefined = kube.objects.keys().filter(|resource| !served.contains(*resource));
    effects.extend(undefined.map(|resource| Effect::RemoveAll { resource: resource.clone() }));
    effects
}

/// Returns true if an object has owners and none of them exists.
fn is_lost(object: &Value, alive: &BTreeSet<&str>) -> bool {
    let owners = list_at(object, &["metadata", "ownerReferences"]);
    !owners.is_empty() && owners.iter().all(|owner| !alive.contains(str_at(owner, &["uid"])))
}

/// Returns true if the node of a pod was deleted, as the pod garbage collector checks.
fn is_homeless(kube: &Kube, pod: &Value) -> bool {
    let node = str_at(pod, &["spec", "nodeName"]);
    !node.is_empty() && kube.named("nodes", node).is_none()
}
