use serde_json::{Map, Value};

/// Whether `actual` is as `wanted` in everything that `wanted` speaks of.
///
/// The server drops what is empty, so a wanted emptiness is met by absence. Where the server writes a value in another
/// form (`1000m` for `1`), this says no; the write that follows then changes nothing.
pub(crate) fn covers(actual: &Value, wanted: &Value) -> bool {
    match (actual, wanted) {
        (Value::Object(actual), Value::Object(wanted)) => {
            wanted.iter().all(|(key, wanted)| actual.get(key).map_or(is_empty(wanted), |actual| covers(actual, wanted)))
        }
        (Value::Array(actual), Value::Array(wanted)) => {
            actual.len() == wanted.len() && actual.iter().zip(wanted).all(|(actual, wanted)| covers(actual, wanted))
        }
        _ => actual == wanted,
    }
}

/// Like [`covers`], for a merge patch: `null` means absence, and lists are equal as a whole.
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

/// Whether every field that `manager` owns by server-side apply is still among the `wanted`, and it owns them.
///
/// A manifest that only names an object makes nobody an owner of anything.
pub(crate) fn owns_nothing_else(actual: &Value, wanted: &Value, manager: &str) -> bool {
    let entries = actual.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
    let mut ours = entries
        .filter(|entry| entry["manager"] == manager && entry["operation"] == "Apply" && entry["subresource"].is_null());
    let fields = ours.next().and_then(|entry| entry["fieldsV1"].as_object());
    fields.map_or_else(|| only_names(wanted), |fields| all_wanted(fields, wanted))
}

fn only_names(wanted: &Value) -> bool {
    let only =
        |value: &Value, keys: &[&str]| value.as_object().is_some_and(|o| o.keys().all(|k| keys.contains(&k.as_str())));
    only(wanted, &["apiVersion", "kind", "metadata"]) && only(&wanted["metadata"], &["name", "namespace"])
}

fn all_wanted(fields: &Map<String, Value>, wanted: &Value) -> bool {
    fields.iter().all(|(path, below)| match path.split_once(':') {
        Some(("f", name)) => wanted.get(name).is_some_and(|wanted| below_wanted(below, wanted)),
        Some(("k", keys)) => {
            let keys: Value = serde_json::from_str(keys).unwrap_or_default();
            let mut elements = wanted.as_array().into_iter().flatten();
            elements.any(|element| has_keys(element, &keys) && below_wanted(below, element))
        }
        Some(("v", value)) => {
            let value: Value = serde_json::from_str(value).unwrap_or_default();
            wanted.as_array().is_some_and(|wanted| wanted.contains(&value))
        }
        _ => true, // `.` is the element itself.
    })
}

fn below_wanted(below: &Value, wanted: &Value) -> bool {
    below.as_object().is_none_or(|fields| all_wanted(fields, wanted))
}

/// Keys with a default, such as a port's protocol, need not be written.
fn has_keys(element: &Value, keys: &Value) -> bool {
    let mut keys = keys.as_object().into_iter().flatten();
    keys.all(|(key, value)| element.get(key).is_none_or(|written| written == value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_wanted_is_met_by_more_and_by_dropped_emptiness() {
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
    fn a_field_that_is_no_longer_wanted_is_noticed() {
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
