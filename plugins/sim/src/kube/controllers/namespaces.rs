use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kube::effect::Effect;
use crate::kube::json::{is_terminating, list_at, name_of, namespace_of, rfc3339, set};
use crate::kube::resource::core;
use crate::kube::state::Kube;

/// Name of the controller in managed fields.
const CONTROLLER: &str = "kube-controller-manager";

/// Returns all namespaces.
pub(super) fn due(kube: &Kube, _: Timestamp) -> Vec<Value> {
    kube.all("namespaces").cloned().collect()
}

/// Creates the standard objects of a namespace, or deletes the content of a namespace that is being
/// deleted.
pub(super) fn reconcile(kube: &Kube, namespace: &Value, now: Timestamp) -> Vec<Effect> {
    if is_terminating(namespace) { empty(kube, name_of(namespace), now) } else { furnish(kube, name_of(namespace)) }
}

/// Creates the service account `default` and the config map `kube-root-ca.crt` unless they exist.
fn furnish(kube: &Kube, namespace: &str) -> Vec<Effect> {
    let mut effects = Vec::new();
    if kube.named("serviceaccounts", &format!("{namespace}/default")).is_none() {
        let object = json!({ "metadata": { "name": "default", "namespace": namespace } });
        effects.push(Effect::Add { resource: core("serviceaccounts"), object, manager: CONTROLLER });
    }
    let Some(certificate) = kube.authority.as_ref().map(|authority| &authority.certificate) else { return effects };
    if kube.named("configmaps", &format!("{namespace}/kube-root-ca.crt")).is_none() {
        let metadata = json!({ "name": "kube-root-ca.crt", "namespace": namespace });
        let object = json!({ "metadata": metadata, "data": { "ca.crt": certificate } });
        effects.push(Effect::Add { resource: core("configmaps"), object, manager: CONTROLLER });
    }
    effects
}

/// Removes the content of a namespace that is being deleted.
///
/// Objects with finalizers are marked for deletion. The namespace is removed in the pass that finds
/// no such object.
fn empty(kube: &Kube, namespace: &str, now: Timestamp) -> Vec<Effect> {
    let (mut effects, mut left) = (Vec::new(), 0);
    for resource in kube.resources().into_iter().filter(|resource| resource.namespaced) {
        for object in kube.all(&resource.qualified()).filter(|object| namespace_of(object) == namespace) {
            if list_at(object, &["metadata", "finalizers"]).is_empty() {
                let key = resource.place(namespace, name_of(object));
                effects.push(Effect::Remove { resource: resource.clone(), key });
                continue;
            }
            left += 1;
            if !is_terminating(object) {
                let mut object = object.clone();
                set(&mut object, &["metadata", "deletionTimestamp"], rfc3339(now));
                effects.push(Effect::Put { resource: resource.clone(), object });
            }
        }
    }
    if left == 0 {
        effects.push(Effect::Remove { resource: core("namespaces"), key: namespace.to_owned() });
    }
    effects
}
