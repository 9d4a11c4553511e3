use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::arm::json::Object;
use crate::arm::store::{Arm, StoredResource, uuid};

/// Builds the JSON of a network resource: the etag precedes the type.
pub(crate) fn etag_first(_: &Arm, resource: &StoredResource, properties: Object) -> Value {
    let mut body = json!({ "name": resource.name, "id": resource.id });
    if let Some(etag) = resource.shown_etag() {
        body["etag"] = json!(etag);
    }
    complete(resource, body, properties)
}

/// Builds the JSON of a NIC, which has a `kind` that other network resources do not have.
pub(crate) fn network_interface(_: &Arm, resource: &StoredResource, properties: Object) -> Value {
    let mut body = json!({ "name": resource.name, "id": resource.id });
    if let Some(etag) = resource.shown_etag() {
        body["etag"] = json!(etag);
    }
    add_type_and_top(resource, &mut body);
    body["kind"] = json!("Regular");
    body["properties"] = Value::Object(properties);
    body
}

/// Builds the JSON of a compute resource: the etag, if there is one, follows the properties.
pub(crate) fn etag_last(_: &Arm, resource: &StoredResource, properties: Object) -> Value {
    let body = json!({ "name": resource.name, "id": resource.id });
    let mut body = complete(resource, body, properties);
    if let Some(etag) = resource.shown_etag() {
        body["etag"] = json!(etag);
    }
    body
}

/// Adds the type, the top-level members and the properties.
fn complete(resource: &StoredResource, mut body: Value, properties: Object) -> Value {
    add_type_and_top(resource, &mut body);
    body["properties"] = Value::Object(properties);
    body
}

/// Adds the type, then the top-level members.
pub(crate) fn add_type_and_top(resource: &StoredResource, body: &mut Value) {
    body["type"] = json!(resource.kind.type_name());
    for (key, value) in &resource.top {
        body[key] = value.clone();
    }
    describe_identity(body);
}

/// Adds the principal of a system-assigned identity.
fn describe_identity(body: &mut Value) {
    let id = body.get("id").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    let system =
        body.pointer("/identity/type").and_then(Value::as_str).is_some_and(|kind| kind.contains("SystemAssigned"));
    if let (true, Some(identity)) = (system, body.get_mut("identity").and_then(Value::as_object_mut)) {
        identity.insert("principalId".to_owned(), json!(uuid(&Sha256::digest(id))));
    }
}
