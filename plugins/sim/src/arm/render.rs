use jiff::Timestamp;
use serde_json::{Value, json};

use crate::arm::json::Object;
use crate::arm::resource_types::behaviour;
use crate::arm::store::{Arm, Family, StoredResource};

/// Returns a resource as its provider shows it.
pub(crate) fn render(arm: &Arm, resource: &StoredResource) -> Value {
    (behaviour(resource.kind).assemble)(arm, resource, properties(arm, resource))
}

/// Returns a resource as [`render`] does, with its instance view if it has one and `instance_view`
/// is set.
pub(crate) fn render_expanded(arm: &Arm, resource: &StoredResource, instance_view: bool, now: Timestamp) -> Value {
    let mut body = render(arm, resource);
    if let Some(view) = behaviour(resource.kind).instance_view.filter(|_| instance_view) {
        body["properties"]["instanceView"] = view(arm, resource, now);
    }
    body
}

/// Returns `provisioningState`, then the stored properties, then the embedded children and the
/// computed properties.
fn properties(arm: &Arm, resource: &StoredResource) -> Object {
    let mut shown = Object::new();
    shown.insert("provisioningState".to_owned(), json!(resource.state));
    if resource.kind.family() == Family::Network && !resource.kind.is_child() {
        shown.insert("resourceGuid".to_owned(), json!(resource.guid));
    }
    shown.extend(resource.properties.clone());
    for (kind, key) in resource.kind.embedded() {
        let parts: Vec<Value> = arm.below(&resource.id, *kind).into_iter().map(|part| render(arm, part)).collect();
        shown.insert((*key).to_owned(), json!(parts));
    }
    (behaviour(resource.kind).show)(arm, resource, &mut shown);
    shown
}
