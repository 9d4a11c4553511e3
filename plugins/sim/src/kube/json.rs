use serde_json::{Map, Value};

/// Returns the value at a path of keys.
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, key| value.get(key))
}

/// Returns the text at a path of keys; empty if there is none.
pub(crate) fn str_at<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    at(value, path).and_then(Value::as_str).unwrap_or_default()
}

/// Returns the texts of the list at a path of keys; empty if there is no list.
pub(crate) fn strings_at(value: &Value, path: &[&str]) -> Vec<String> {
    list_at(value, path).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Returns the list at a path of keys; empty if there is none.
pub(crate) fn list_at<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Returns the object at a path of keys.
pub(crate) fn object_at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Map<String, Value>> {
    at(value, path).and_then(Value::as_object)
}

/// Returns the object at a path of keys. Creates missing objects and replaces other values on the
/// path.
pub(crate) fn object_mut<'a>(value: &'a mut Value, path: &[&str]) -> &'a mut Map<String, Value> {
    let mut here = as_object(value);
    for key in path {
        here = as_object(here.entry((*key).to_owned()).or_insert(Value::Null));
    }
    here
}

/// Returns a value as a list, replaced by an empty one if it is not a list.
pub(crate) fn as_list(value: &mut Value) -> &mut Vec<Value> {
    if !value.is_array() {
        *value = Value::Array(Vec::new());
    }
    value.as_array_mut().expect("it was made a list")
}

/// Returns a value as an object, replaced by an empty one if it is not an object.
fn as_object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("it was made an object")
}

/// Sets the value at a path of keys, and creates the objects on the path.
pub(crate) fn set(value: &mut Value, path: &[&str], new: Value) {
    if let Some((last, before)) = path.split_last() {
        object_mut(value, before).insert((*last).to_owned(), new);
    }
}

/// Sets the value at a path of keys if it is absent or null.
pub(crate) fn default(value: &mut Value, path: &[&str], new: Value) {
    if at(value, path).is_none_or(Value::is_null) {
        set(value, path, new);
    }
}

/// Removes and returns the value at a path of keys. The order of the other keys remains.
pub(crate) fn remove(value: &mut Value, path: &[&str]) -> Option<Value> {
    let (last, before) = path.split_last()?;
    let parent = before.iter().try_fold(value, |value, key| value.get_mut(*key))?;
    parent.as_object_mut()?.shift_remove(*last)
}

/// Returns `metadata.name`; empty if there is none.
pub(crate) fn name_of(object: &Value) -> &str {
    str_at(object, &["metadata", "name"])
}

/// Returns `metadata.namespace`; empty for cluster-wide objects.
pub(crate) fn namespace_of(object: &Value) -> &str {
    str_at(object, &["metadata", "namespace"])
}

/// Returns `metadata.uid`; empty if there is none.
pub(crate) fn uid_of(object: &Value) -> &str {
    str_at(object, &["metadata", "uid"])
}

/// Returns true if the deletion of an object has started.
pub(crate) fn is_terminating(object: &Value) -> bool {
    at(object, &["metadata", "deletionTimestamp"]).is_some_and(|at| !at.is_null())
}

/// Returns the condition of a type in `status.conditions`.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    list_at(object, &["status", "conditions"]).iter().find(|each| str_at(each, &["type"]) == kind)
}

/// Returns true if the status of a condition is `True`; false if there is no such condition.
pub(crate) fn holds(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|each| str_at(each, &["status"]) == "True")
}

/// Returns a time in the format of the API: RFC 3339 in UTC, in whole seconds.
pub(crate) fn rfc3339(now: jiff::Timestamp) -> Value {
    Value::String(now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}
