use serde_json::{Map, Value, json};

use super::status::Refusal;

/// Applies a JSON merge patch (RFC 7386): null removes a field, and lists are replaced.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(object) = target.as_object_mut() else { return };
    for (key, value) in patch {
        if value.is_null() {
            object.shift_remove(key);
        } else {
            merge(object.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Applies a JSON patch (RFC 6902).
///
/// # Errors
///
/// 400 `BadRequest` if the patch is not a list, 422 `Invalid` if an operation fails. The target is
/// then partly patched.
pub(crate) fn json_patch(target: &mut Value, patch: &Value) -> Result<(), Refusal> {
    let operations = patch
        .as_array()
        .ok_or_else(|| Refusal::bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch"))?;
    operations.iter().try_for_each(|operation| step(target, operation).ok_or_else(impossible))
}

/// Returns the refusal of an operation that fails.
fn impossible() -> Refusal {
    Refusal::new(422, "Invalid", "the server rejected our request due to an error in our request", Some(json!({})))
}

/// Applies one operation; `None` if it fails.
fn step(target: &mut Value, operation: &Value) -> Option<()> {
    let text = |key: &str| operation.get(key).and_then(Value::as_str);
    let path = text("path")?;
    match text("op")? {
        "test" => (target.pointer(path)? == operation.get("value")?).then_some(()),
        "add" => add(target, path, operation.get("value")?.clone()),
        "remove" => take(target, path).map(drop),
        "replace" => {
            *target.pointer_mut(path)? = operation.get("value")?.clone();
            Some(())
        }
        "copy" => {
            let value = target.pointer(text("from")?)?.clone();
            add(target, path, value)
        }
        "move" => {
            let value = take(target, text("from")?)?;
            add(target, path, value)
        }
        _ => None,
    }
}

/// Splits a JSON pointer into the path of the parent and the last key, unescaped.
fn split(path: &str) -> Option<(&str, String)> {
    let (parent, key) = path.rsplit_once('/')?;
    Some((parent, key.replace("~1", "/").replace("~0", "~")))
}

/// Adds a value to an object, or inserts it into a list. The index `-` is the end of the list.
fn add(target: &mut Value, path: &str, value: Value) -> Option<()> {
    if path.is_empty() {
        *target = value;
        return Some(());
    }
    let (parent, key) = split(path)?;
    match target.pointer_mut(parent)? {
        Value::Object(object) => {
            object.insert(key, value);
        }
        Value::Array(items) => {
            let index = if key == "-" { items.len() } else { key.parse().ok()? };
            if index > items.len() {
                return None;
            }
            items.insert(index, value);
        }
        _ => return None,
    }
    Some(())
}

/// Removes and returns the value at a JSON pointer.
fn take(target: &mut Value, path: &str) -> Option<Value> {
    let (parent, key) = split(path)?;
    match target.pointer_mut(parent)? {
        Value::Object(object) => object.shift_remove(&key),
        Value::Array(items) => {
            let index: usize = key.parse().ok()?;
            (index < items.len()).then(|| items.remove(index))
        }
        _ => None,
    }
}
