use serde_json::{Map, Value};

/// Object of JSON, in the order of its members.
pub(crate) type Object = Map<String, Value>;

/// Returns the value at `path`, or `None` if a part of the path is missing or `null`.
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, key| value.get(*key)).filter(|value| !value.is_null())
}

/// Returns the text at `path`.
pub(crate) fn text<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    at(value, path).and_then(Value::as_str)
}

/// Returns the text under `key`.
pub(crate) fn field<'a>(object: &'a Object, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Value::as_str)
}

/// Returns the texts of the array under `key`.
pub(crate) fn texts(object: &Object, key: &str) -> Vec<String> {
    let array = object.get(key).and_then(Value::as_array);
    array.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Returns the objects of the array under `key`.
pub(crate) fn objects<'a>(object: &'a Object, key: &str) -> Vec<&'a Object> {
    object.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object).collect()
}

/// Returns the `id` of the reference under `key`.
pub(crate) fn reference<'a>(object: &'a Object, key: &str) -> Option<&'a str> {
    object.get(key).and_then(|value| value.get("id")).and_then(Value::as_str)
}

/// Reduces the reference under `key` to its `id`: clients send back whole resources that they have
/// read.
pub(crate) fn keep_only_id(object: &mut Object, key: &str) {
    match reference(object, key).map(str::to_owned) {
        Some(id) => {
            object.insert(key.to_owned(), serde_json::json!({ "id": id }));
        }
        None => {
            object.shift_remove(key);
        }
    }
}

/// Sets `key` unless it has a value other than `null`.
pub(crate) fn default(object: &mut Object, key: &str, value: Value) {
    if object.get(key).is_none_or(Value::is_null) {
        object.insert(key.to_owned(), value);
    }
}

/// Removes the keys: read-only members that a client sent back.
pub(crate) fn drop_keys(object: &mut Object, keys: &[&str]) {
    for key in keys {
        object.shift_remove(*key);
    }
}

/// Returns the object of a literal, or an empty one for other values.
pub(crate) fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

/// Merges `patch` into `target` by the rules of JSON Merge Patch (RFC 7386).
pub(crate) fn merge(target: &mut Object, patch: &Object) {
    for (key, value) in patch {
        match (target.get_mut(key), value) {
            (_, Value::Null) => {
                target.remove(key);
            }
            (Some(Value::Object(inner)), Value::Object(patch)) => merge(inner, patch),
            _ => {
                target.insert(key.clone(), value.clone());
            }
        }
    }
}
