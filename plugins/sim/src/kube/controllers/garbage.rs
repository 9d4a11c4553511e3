use std::collections::BTreeSet;

use serde_json::Value;

use crate::kube::json::{list_at, name_of, namespace_of, str_at};
use crate::kube::resource::Resource;
use crate::kube::state::Kube;

/// Deletes what names owners that are all gone, and nodes' pods once the node is.
pub(super) fn act(kube: &mut Kube) {
    let resources = kube.resources();
    let objects = kube.objects.values().flat_map(std::collections::BTreeMap::values);
    let alive: BTreeSet<&str> = objects.map(|object| str_at(object, &["metadata", "uid"])).collect();
    let mut lost: Vec<(&Resource, String)> = Vec::new();
    for resource in &resources {
        let is_pods = resource.qualified() == "pods";
        let gone = kube
            .all(&resource.qualified())
            .filter(|object| is_lost(object, &alive) || (is_pods && is_homeless(kube, object)));
        lost.extend(gone.map(|object| (resource, resource.place(namespace_of(object), name_of(object)))));
    }
    for (resource, place) in lost {
        kube.take(resource, &place);
    }
    let defined: BTreeSet<String> = resources.iter().map(Resource::qualified).collect();
    // A definition that is deleted takes its objects with it.
    kube.objects.retain(|resource, _| defined.contains(resource));
}

fn is_lost(object: &Value, alive: &BTreeSet<&str>) -> bool {
    let owners = list_at(object, &["metadata", "ownerReferences"]);
    !owners.is_empty() && owners.iter().all(|owner| !alive.contains(str_at(owner, &["uid"])))
}

/// Pods of a node that was deleted: the pod garbage collector's part.
fn is_homeless(kube: &Kube, pod: &Value) -> bool {
    let node = str_at(pod, &["spec", "nodeName"]);
    !node.is_empty() && kube.named("nodes", node).is_none()
}
