use serde_json::{Map, Value, json};

use super::resource::Resource;
use super::state::Kube;
use super::versions::{VERSION, by_version};

/// Returns the body of `GET /openapi/v3`: the URLs of the documents by path.
pub(crate) fn index(kube: &Kube) -> Value {
    let paths: Map<String, Value> = by_version(kube)
        .keys()
        .map(|(group, version)| {
            let path = if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
            (path.clone(), json!({ "serverRelativeURL": format!("/openapi/v3/{path}?hash={}", kube.compacted()) }))
        })
        .collect();
    json!({ "paths": paths })
}

/// Returns the `OpenAPI` document of a group and version; `None` if it is not served.
///
/// Contains the parameters that clients check for before they use them, and the schemas of custom
/// resources. Schemas of built-in resources accept any field.
pub(crate) fn document(kube: &Kube, path: &str) -> Option<Value> {
    let (group, version) = match path.split('/').collect::<Vec<_>>().as_slice() {
        ["api", version] => (String::new(), (*version).to_owned()),
        ["apis", group, version] => ((*group).to_owned(), (*version).to_owned()),
        _ => return None,
    };
    let versions = by_version(kube);
    let served = versions.get(&(group, version))?;
    let paths: Map<String, Value> = served.iter().map(|resource| (path_of(resource), operations(resource))).collect();
    let schemas: Map<String, Value> = served.iter().map(|resource| (schema_name(resource), schema(resource))).collect();
    Some(json!({
        "openapi": "3.0.0",
        "info": { "title": "Kubernetes", "version": VERSION },
        "paths": paths,
        "components": { "schemas": schemas },
    }))
}

/// Returns the body of `GET /openapi/v2`: the definitions of all kinds, without paths.
pub(crate) fn whole(kube: &Kube) -> Value {
    let resources = kube.resources();
    let definitions: Map<String, Value> =
        resources.iter().map(|resource| (schema_name(resource), schema(resource))).collect();
    json!({ "swagger": "2.0", "info": { "title": "Kubernetes", "version": VERSION }, "paths": {}, "definitions": definitions })
}

/// Returns the path of an object of a resource, with placeholders.
fn path_of(resource: &Resource) -> String {
    let start = if resource.group.is_empty() {
        "/api/v1".to_owned()
    } else {
        format!("/apis/{}/{}", resource.group, resource.version)
    };
    let namespace = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
    format!("{start}{namespace}/{}/{{name}}", resource.plural)
}

/// Returns group, version and kind of a resource.
fn kind(resource: &Resource) -> Value {
    json!({ "group": resource.group, "version": resource.version, "kind": resource.kind })
}

/// Returns the operations of an object, with the parameters of the query that writes accept.
fn operations(resource: &Resource) -> Value {
    let parameter = |name: &str, kind: &str| json!({ "name": name, "in": "query", "schema": { "type": kind, "uniqueItems": true } });
    let parameters = json!([
        parameter("dryRun", "string"),
        parameter("fieldManager", "string"),
        parameter("fieldValidation", "string"),
        parameter("force", "boolean"),
    ]);
    let operation = |action: &str| {
        json!({
            "parameters": parameters,
            "responses": { "200": { "description": "OK" } },
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": kind(resource),
        })
    };
    json!({ "get": operation("get"), "put": operation("put"), "patch": operation("patch"), "delete": operation("delete") })
}

/// Returns the name of the schema of a kind: reversed group, version and kind.
fn schema_name(resource: &Resource) -> String {
    let group = if resource.group.is_empty() { "core" } else { &resource.group };
    let mut parts: Vec<&str> = group.split('.').collect();
    parts.reverse();
    format!("{}.{}.{}", parts.join("."), resource.version, resource.kind)
}

/// Returns the schema of a kind, marked with group, version and kind.
fn schema(resource: &Resource) -> Value {
    let mut schema = resource
        .schema()
        .cloned()
        .unwrap_or_else(|| json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true }));
    schema["x-kubernetes-group-version-kind"] = json!([kind(resource)]);
    schema
}
