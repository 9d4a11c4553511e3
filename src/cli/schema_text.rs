//! JSON Schemas as text for people.

use serde_json::Value;

/// Returns one line per field of an object schema, nested fields indented.
pub(crate) fn fields(schema: &Value, depth: usize) -> Vec<String> {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return Vec::new() };
    let required: Vec<_> = schema.get("required").and_then(Value::as_array).into_iter().flatten().collect();
    let mut lines = Vec::new();
    for (name, field) in properties {
        let optional = if required.iter().any(|key| *key == name) { "" } else { ", optional" };
        let description = field.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
        let line = format!("{:indent$}{name} ({}{optional})  {description}", "", kind(field), indent = depth * 2);
        lines.push(line.trim_end().to_owned());
        lines.extend(fields(field.get("items").unwrap_or(field), depth + 1));
    }
    lines
}

/// Names the type of a field for people, such as `list of string` or `cidr`.
pub(crate) fn kind(schema: &Value) -> String {
    let of = |value: &Value| match value {
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => {
            let kinds: Vec<_> = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect();
            kinds.join(" or ")
        }
        _ => "any".into(),
    };
    let kind = schema.get("type").map_or_else(|| "any".into(), of);
    match (kind.as_str(), schema.get("items"), schema.get("format").and_then(Value::as_str)) {
        ("array", Some(items), _) => format!("list of {}", self::kind(items)),
        ("object", ..) => "map".into(),
        (_, _, Some(format)) => format.into(),
        _ => kind,
    }
}
