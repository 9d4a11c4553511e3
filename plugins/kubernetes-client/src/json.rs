//! Access to the fields of objects that are JSON values. Places are JSON pointers (RFC 6901).

use serde_json::Value;

/// The string at `pointer`; `None` if it is absent or has another type.
pub fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer)?.as_str()
}

/// The string at `pointer`; empty if it is absent or has another type.
pub fn text_or_empty(object: &Value, pointer: &str) -> String {
    text(object, pointer).unwrap_or_default().to_owned()
}

/// The elements of the list at `pointer`; none if it is absent or has another type.
pub fn list<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    object.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// The strings in the list at `pointer`; elements of other types are ignored.
pub fn texts<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a str> {
    list(object, pointer).filter_map(Value::as_str)
}

/// The element of `status.conditions` with the type `name`, such as `Ready`.
pub fn condition<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    list(object, "/status/conditions").find(|condition| condition["type"] == name)
}

/// The object's `metadata.uid`; empty if it has none.
pub fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid").unwrap_or_default()
}

/// The object's `metadata.name`; empty if it has none.
pub fn name(object: &Value) -> &str {
    text(object, "/metadata/name").unwrap_or_default()
}
