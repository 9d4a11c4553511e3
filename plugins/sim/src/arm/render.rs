use jiff::Timestamp;
use serde_json::{Value, json};

use crate::arm::json::Object;
use crate::arm::kind::{Family, Kind};
use crate::arm::store::{Arm, Resource};
use crate::arm::{aks, compute, network};

/// A resource as its provider shows it.
pub(crate) fn render(arm: &Arm, resource: &Resource) -> Value {
    let properties = properties(arm, resource);
    match resource.kind.family() {
        Family::Aks => aks::render(arm, resource, properties),
        Family::Compute | Family::Disk => assemble(resource, properties, false),
        Family::Network => assemble(resource, properties, true),
    }
}

/// The same, with a machine's instance view if asked for.
pub(crate) fn render_expanded(arm: &Arm, resource: &Resource, instance_view: bool, now: Timestamp) -> Value {
    let mut body = render(arm, resource);
    if instance_view && resource.kind == Kind::VirtualMachine {
        body["properties"]["instanceView"] = compute::instance_view(arm, resource, now);
    }
    body
}

fn assemble(resource: &Resource, properties: Object, etag_first: bool) -> Value {
    let mut body = json!({ "name": resource.name, "id": resource.id });
    let etag = resource.shown_etag();
    if let (Some(etag), true) = (&etag, etag_first) {
        body["etag"] = json!(etag);
    }
    body["type"] = json!(resource.kind.type_name());
    for (key, value) in &resource.top {
        body[key] = value.clone();
    }
    compute::describe_identity(&mut body);
    if resource.kind == Kind::NetworkInterface {
        body["kind"] = json!("Regular");
    }
    body["properties"] = Value::Object(properties);
    if let (Some(etag), false) = (&etag, etag_first) {
        body["etag"] = json!(etag);
    }
    body
}

/// `provisioningState` first, then what was set, then what is computed.
fn properties(arm: &Arm, resource: &Resource) -> Object {
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
    match resource.kind.family() {
        Family::Network => network::computed(arm, resource, &mut shown),
        Family::Compute | Family::Disk => compute::computed(arm, resource, &mut shown),
        Family::Aks => {}
    }
    shown
}
