use serde_json::{Map, Value};

/// True if `actual` has each field of `desired` with an equal value.
///
/// The server drops empty values, so that an absent field equals an empty one. A value that the
/// server stores in another form (`1` for `1000m`) differs; the write that follows then changes
/// nothing.
pub(crate) fn covers(actual: &Value, desired: &Value) -> bool {
    match (actual, desired) {
        (Value::Object(actual), Value::Object(desired)) => desired
            .iter()
            .all(|(key, desired)| actual.get(key).map_or(is_empty(desired), |actual| covers(actual, desired))),
        (Value::Array(actual), Value::Array(desired)) => {
            actual.len() == desired.len() && actual.iter().zip(desired).all(|(actual, desired)| covers(actual, desired))
        }
        _ => actual == desired,
    }
}

/// True if the merge of `patch` into `actual` changes nothing: `null` requires absence, and lists
/// are compared as a whole.
pub(crate) fn has_merged(actual: &Value, patch: &Value) -> bool {
    match (actual, patch) {
        (Value::Object(actual), Value::Object(patch)) => patch.iter().all(|(key, patch)| match actual.get(key) {
            Some(actual) => has_merged(actual, patch),
            None => patch.is_null() || patch.as_object().is_some_and(|patch| patch.values().all(Value::is_null)),
        }),
        _ => actual == patch,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.values().all(is_empty),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// True if `desired` contains each field that `manager` owns by server-side apply, and `manager`
/// owns any.
///
/// A manager owns no fields of an object of which `desired` only has the name; then true.
pub(crate) fn owns_nothing_else(actual: &Value, desired: &Value, manager: &str) -> bool {
    let entries = actual.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
    let mut own = entries
        .filter(|entry| entry["manager"] == manager && entry["operation"] == "Apply" && entry["subresource"].is_null());
    let fields = own.next().and_then(|entry| entry["fieldsV1"].as_object());
    fields.map_or_else(|| only_names(desired), |fields| all_desired(fields, desired))
}

/// True if an object has nothing but its kind and its name.
fn only_names(desired: &Value) -> bool {
    let only =
        |value: &Value, keys: &[&str]| value.as_object().is_some_and(|o| o.keys().all(|k| keys.contains(&k.as_str())));
    only(desired, &["apiVersion", "kind", "metadata"]) && only(&desired["metadata"], &["name", "namespace"])
}

/// True if `desired` contains all of `fields`, a set in the form of `fieldsV1` (Kubernetes API,
/// `FieldsV1`).
fn all_desired(fields: &Map<String, Value>, desired: &Value) -> bool {
    fields.iter().all(|(path, below)| match path.split_once(':') {
        Some(("f", name)) => desired.get(name).is_some_and(|desired| below_desired(below, desired)),
        Some(("k", keys)) => {
            let keys: Value = serde_json::from_str(keys).unwrap_or_default();
            let mut elements = desired.as_array().into_iter().flatten();
            elements.any(|element| has_keys(element, &keys) && below_desired(below, element))
        }
        Some(("v", value)) => {
            let value: Value = serde_json::from_str(value).unwrap_or_default();
            desired.as_array().is_some_and(|desired| desired.contains(&value))
        }
        _ => true, // `.` is the element itself.
    })
}

fn below_desired(below: &Value, desired: &Value) -> bool {
    below.as_object().is_none_or(|fields| all_desired(fields, desired))
}

/// True if an element of a list has these keys. Keys with a default, such as a port's protocol, can
/// be absent.
fn has_keys(element: &Value, keys: &Value) -> bool {
    let mut keys = keys.as_object().into_iter().flatten();
    keys.all(|(key, value)| element.get(key).is_none_or(|actual| actual == value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn further_fields_and_absent_empty_values_are_equal() {
        let actual = json!({"a": {"b": 1, "c": 2}, "l": [{"x": 1, "y": 2}]});
        assert!(covers(&actual, &json!({"a": {"b": 1}, "l": [{"x": 1}], "none": {}, "no": []})));
        assert!(!covers(&actual, &json!({"a": {"b": 2}})));
        assert!(!covers(&actual, &json!({"l": []})));
        assert!(!covers(&actual, &json!({"d": 1})));
    }

    #[test]
    fn a_patch_removes_with_null() {
        let actual = json!({"spec": {"unschedulable": true}});
        assert!(!has_merged(&actual, &json!({"spec": {"unschedulable": null}})));
        assert!(has_merged(&json!({"spec": {}}), &json!({"spec": {"unschedulable": null}})));
        assert!(has_merged(&json!({}), &json!({"spec": {"unschedulable": null}})));
        assert!(!has_merged(&json!({}), &json!({"spec": {"a": 1}})));
    }

    #[test]
    fn an_owned_field_that_is_no_longer_desired_is_a_difference() {
        let actual = json!({"metadata": {"managedFields": [{"manager": "stargate", "operation": "Apply",
            "fieldsV1": {"f:data": {"f:a": {}, "f:b": {}}, "f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}}}}}]}});
        let ports = json!([{"port": 80}]);
        assert!(owns_nothing_else(&actual, &json!({"data": {"a": "1", "b": "2"}, "ports": ports}), "stargate"));
        assert!(!owns_nothing_else(&actual, &json!({"data": {"a": "1"}, "ports": ports}), "stargate"));
        assert!(!owns_nothing_else(&actual, &json!({"data": {"a": "1", "b": "2"}, "ports": []}), "stargate"));
        assert!(!owns_nothing_else(&actual, &json!({"data": {}}), "kubectl"));
        assert!(owns_nothing_else(&json!({}), &json!({"kind": "Namespace", "metadata": {"name": "a"}}), "stargate"));
    }
}
