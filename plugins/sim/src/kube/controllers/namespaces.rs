use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kube::json::{is_going, name_of, namespace_of, set};
use crate::kube::resource::core;
use crate::kube::state::Kube;

const CONTROLLER: &str = "kube-controller-manager";

/// Gives each namespace its service account and the authority's certificate, and empties those that go.
pub(super) fn act(kube: &mut Kube, now: Timestamp) {
    let namespaces: Vec<Value> = kube.all("namespaces").cloned().collect();
    for namespace in namespaces {
        if is_going(&namespace) { empty(kube, name_of(&namespace)) } else { furnish(kube, name_of(&namespace), now) }
    }
}

fn furnish(kube: &mut Kube, namespace: &str, now: Timestamp) {
    if kube.named("serviceaccounts", &format!("{namespace}/default")).is_none() {
        let account = json!({ "metadata": { "name": "default", "namespace": namespace } });
        kube.add(&core("serviceaccounts"), account, (CONTROLLER, now));
    }
    let Some(certificate) = kube.authority.as_ref().map(|authority| authority.certificate.clone()) else { return };
    if kube.named("configmaps", &format!("{namespace}/kube-root-ca.crt")).is_none() {
        let map = json!({ "metadata": { "name": "kube-root-ca.crt", "namespace": namespace }, "data": { "ca.crt": certificate } });
        kube.add(&core("configmaps"), map, (CONTROLLER, now));
    }
}

fn empty(kube: &mut Kube, namespace: &str) {
    let mut left = 0;
    for resource in kube.resources().into_iter().filter(|resource| resource.namespaced) {
        let inside: Vec<Value> =
            kube.all(&resource.qualified()).filter(|object| namespace_of(object) == namespace).cloned().collect();
        for mut object in inside {
            let waits = !crate::kube::json::list_at(&object, &["metadata", "finalizers"]).is_empty();
            if !waits {
                kube.take(&resource, &resource.place(namespace, name_of(&object)));
                continue;
            }
            left += 1;
            if !is_going(&object) {
                set(&mut object, &["metadata", "deletionTimestamp"], crate::kube::json::moment(Timestamp::now()));
                kube.put(&resource, object);
            }
        }
    }
    if left == 0 {
        kube.take(&core("namespaces"), namespace);
    }
}
