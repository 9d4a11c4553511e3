use jiff::Timestamp;
use serde_json::Value;

use super::effect::{Effect, FieldEdit};
use super::json::{name_of, namespace_of, remove, set};
use super::managed::{self, Manager};
use super::new_object;
use super::resource::Resource;
use super::state::Kube;

/// Applies effects in order. All changes of a cluster's objects pass through this module.
pub(crate) fn apply(kube: &mut Kube, effects: Vec<Effect>, now: Timestamp) {
    for effect in effects {
        match effect {
            Effect::Put { resource, object } => drop(kube.put(&resource, object)),
            Effect::Remove { resource, key } => drop(kube.take(&resource, &key)),
            Effect::Add { resource, object, manager } => add(kube, &resource, object, (manager, now)),
            Effect::Edit { resource, key, manager, fields } => edit(kube, &resource, &key, (&manager, now), fields),
            Effect::RemoveAll { resource } => drop(kube.objects.remove(&resource)),
            Effect::SetKubelet { node, kubelet: Some(kubelet) } => drop(kube.kubelets.insert(node, kubelet)),
            Effect::SetKubelet { node, kubelet: None } => drop(kube.kubelets.remove(&node)),
        }
    }
}

/// Adds an object on behalf of the component named in `by`. An existing object remains unchanged.
pub(crate) fn add(kube: &mut Kube, resource: &Resource, mut object: Value, by: (&str, Timestamp)) {
    let (name, now) = by;
    if kube.object(resource, &resource.place(namespace_of(&object), name_of(&object))).is_some() {
        return;
    }
    remove(&mut object, &["metadata", "managedFields"]);
    new_object::complete(resource, &mut object, now);
    managed::updated(resource, &Value::Null, &mut object, Manager { name, subresource: "", now });
    kube.put(resource, object);
}

/// Sets and removes fields of an object on behalf of `by`. Stores no revision if no field differs.
pub(crate) fn edit(kube: &mut Kube, resource: &Resource, key: &str, by: (&str, Timestamp), fields: Vec<FieldEdit>) {
    let Some(before) = kube.object(resource, key).cloned() else { return };
    let mut after = before.clone();
    for FieldEdit { path, value } in fields {
        match value {
            Some(value) => set(&mut after, &path, value),
            None => drop(remove(&mut after, &path)),
        }
    }
    if after != before {
        let (name, now) = by;
        managed::updated(resource, &before, &mut after, Manager { name, subresource: "", now });
        kube.put(resource, after);
    }
}
