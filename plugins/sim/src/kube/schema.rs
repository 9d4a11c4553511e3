use serde_json::{Map, Value, json};

use super::decode::{self, PathStep};
use super::json::{at, list_at, name_of, str_at};
use super::resource::Resource;
use super::status::{Cause, Refusal};

/// Makes a custom object conform to its schema: removes undeclared fields, sets defaults, and
/// validates the values.
///
/// Built-in objects are unchanged.
///
/// # Errors
///
/// 422 with all causes for invalid values.
pub(crate) fn admit(resource: &Resource, object: &mut Value) -> Result<(), Refusal> {
    let Some(schema) = resource.schema() else { return Ok(()) };
    for path in undeclared(resource, object) {
        decode::remove(object, &path);
    }
    complete(schema, object);
    let mut causes = Vec::new();
    check(schema, object, "", &mut causes);
    if causes.is_empty() {
        Ok(())
    } else {
        Err(Refusal::invalid(&resource.group, &resource.kind, name_of(object), &causes))
    }
}

/// Returns the paths of the fields of a custom object that its schema does not declare.
///
/// `metadata` is not part of the schema, like `apiVersion` and `kind` of the root.
pub(crate) fn undeclared(resource: &Resource, object: &Value) -> Vec<Vec<PathStep>> {
    let mut paths = Vec::new();
    if let Some(schema) = resource.schema() {
        find_undeclared(schema, object, &mut Vec::new(), &mut paths);
    }
    paths
}

/// Returns true if a boolean of the schema is set.
fn is_true(schema: &Value, key: &str) -> bool {
    schema.get(key) == Some(&json!(true))
}

/// Appends to `paths` the undeclared fields below `path`, which is that of `value`.
fn find_undeclared(schema: &Value, value: &Value, path: &mut Vec<PathStep>, paths: &mut Vec<Vec<PathStep>>) {
    let is_root = path.is_empty();
    let mut below = |step: PathStep, schema: Option<&Value>, value: &Value| {
        path.push(step);
        match schema {
            Some(schema) => find_undeclared(schema, value, path, paths),
            None => paths.push(path.clone()),
        }
        path.pop();
    };
    match value {
        Value::Object(map) => {
            let keeps = is_true(schema, "x-kubernetes-preserve-unknown-fields");
            let additional = schema.get("additionalProperties").filter(|additional| **additional != json!(false));
            for (key, value) in map {
                let declared = at(schema, &["properties", key]).or(additional);
                let is_envelope = is_root && matches!(key.as_str(), "apiVersion" | "kind" | "metadata");
                if !is_envelope && (declared.is_some() || !keeps) {
                    below(PathStep::Key(key.clone()), declared, value);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                if let Some(schema) = schema.get("items") {
                    below(PathStep::Item(index), Some(schema), item);
                }
            }
        }
        _ => {}
    }
}

/// Appends a key to a path.
fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Sets absent fields to the defaults of the schema.
fn complete(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                if let Some(default) = schema.get("default").filter(|_| !map.contains_key(key)) {
                    map.insert(key.clone(), default.clone());
                }
                if let Some(value) = map.get_mut(key) {
                    complete(schema, value);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for item in items {
                    complete(schema, item);
                }
            }
        }
        _ => {}
    }
}

/// Appends to `causes` each violation of the schema below `path`.
///
/// Checks types, `enum`, required fields, bounds and lengths. Does not evaluate `pattern`, `format`
/// and validation rules.
fn check(schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if value.is_null() && is_true(schema, "nullable") {
        return;
    }
    if !fits_type(schema, value) {
        let detail = format!("{path} in body must be of type {}: \"{}\"", str_at(schema, &["type"]), type_of(value));
        causes.push(Cause::invalid(path, &json!(type_of(value)), &detail));
        return;
    }
    let allowed = list_at(schema, &["enum"]);
    if !allowed.is_empty() && !allowed.contains(value) {
        causes.push(Cause::unsupported(path, value, allowed));
    }
    match value {
        Value::Object(map) => check_object(schema, map, path, causes),
        Value::Array(items) => check_list(schema, items, path, causes),
        Value::Number(number) => check_number(schema, number.as_f64().unwrap_or_default(), value, path, causes),
        Value::String(text) => check_text(schema, text, path, causes),
        _ => {}
    }
}

/// Checks required fields and the declared fields of an object.
fn check_object(schema: &Value, map: &Map<String, Value>, path: &str, causes: &mut Vec<Cause>) {
    for key in list_at(schema, &["required"]).iter().filter_map(Value::as_str) {
        if !map.contains_key(key) {
            causes.push(Cause::required(&join(path, key), ""));
        }
    }
    for (key, value) in map {
        let declared = at(schema, &["properties", key])
            .or_else(|| schema.get("additionalProperties").filter(|more| more.is_object()));
        if let Some(schema) = declared {
            check(schema, value, &join(path, key), causes);
        }
    }
}

/// Checks the length and the items of a list.
fn check_list(schema: &Value, items: &[Value], path: &str, causes: &mut Vec<Cause>) {
    if let Some(limit) = schema.get("maxItems").and_then(Value::as_u64).filter(|limit| items.len() as u64 > *limit) {
        causes.push(Cause::invalid(path, &json!(items.len()), &format!("must have at most {limit} items")));
    }
    if let Some(limit) = schema.get("minItems").and_then(Value::as_u64).filter(|limit| (items.len() as u64) < *limit) {
        causes.push(Cause::invalid(
            path,
            &json!(items.len()),
            &format!("{path} in body should have at least {limit} items"),
        ));
    }
    if let Some(schema) = schema.get("items") {
        for item in items {
            check(schema, item, path, causes);
        }
    }
}

/// Checks the bounds of a number, which are inclusive.
fn check_number(schema: &Value, number: f64, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    if let Some(least) = bound("minimum").filter(|least| number < *least) {
        causes.push(Cause::invalid(path, value, &format!("{path} in body should be greater than or equal to {least}")));
    }
    if let Some(most) = bound("maximum").filter(|most| number > *most) {
        causes.push(Cause::invalid(path, value, &format!("{path} in body should be less than or equal to {most}")));
    }
}

/// Checks the length of a text in characters.
fn check_text(schema: &Value, text: &str, path: &str, causes: &mut Vec<Cause>) {
    let count = text.chars().count() as u64;
    if let Some(least) = schema.get("minLength").and_then(Value::as_u64).filter(|least| count < *least) {
        causes.push(Cause::invalid(
            path,
            &json!(text),
            &format!("{path} in body should be at least {least} chars long"),
        ));
    }
    if let Some(most) = schema.get("maxLength").and_then(Value::as_u64).filter(|most| count > *most) {
        causes.push(Cause::invalid(path, &json!(text), &format!("{path} in body should be at most {most} chars long")));
    }
}

/// Returns true if a value has the type of the schema. A schema without type accepts any value.
fn fits_type(schema: &Value, value: &Value) -> bool {
    if is_true(schema, "x-kubernetes-int-or-string") {
        return value.is_string() || value.is_i64() || value.is_u64();
    }
    match str_at(schema, &["type"]) {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

/// Returns the name of the type of a value in JSON schema.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
