use serde_json::{Map, Value};

/// Applies a strategic merge patch: a merge patch that merges certain lists of built-in objects by
/// key.
///
/// Supports the directives `$patch`, `$retainKeys`, `$deleteFromPrimitiveList` and
/// `$setElementOrder`.
pub(crate) fn merge(kind: &str, target: &mut Value, patch: &Value) {
    object(kind, target, patch);
}

/// Returns the key that identifies items of a list; `None` for a list that is replaced.
///
/// The keys are those of the `patchMergeKey` tags in the API of Kubernetes, for the fields in use.
fn merge_key(kind: &str, name: &str) -> Option<&'static str> {
    match name {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "volumes"
        | "env"
        | "imagePullSecrets"
        | "secrets" => Some("name"),
        "ports" if kind == "Service" => Some("port"),
        "ports" => Some("containerPort"),
        "conditions" if kind == "CertificateSigningRequest" => None,
        "conditions" | "addresses" => Some("type"),
        "taints" => Some("key"),
        "volumeMounts" => Some("mountPath"),
        "volumeDevices" => Some("devicePath"),
        "ownerReferences" => Some("uid"),
        "hostAliases" | "podIPs" | "hostIPs" => Some("ip"),
        "topologySpreadConstraints" => Some("topologyKey"),
        _ => None,
    }
}

/// Returns true for a list of plain values that are merged.
fn is_merged_set(name: &str) -> bool {
    matches!(name, "finalizers" | "podCIDRs")
}

/// Merges a patch into an object and processes its directives.
fn object(kind: &str, target: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if fields.get("$patch").and_then(Value::as_str) == Some("replace") || !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(held) = target.as_object_mut() else { return };
    if let Some(kept) = fields.get("$retainKeys").and_then(Value::as_array) {
        held.retain(|key, _| kept.iter().any(|kept| kept == key));
    }
    for (key, value) in fields {
        if let Some(list) = key.strip_prefix("$deleteFromPrimitiveList/") {
            remove_values(held, list, value);
        } else if !key.starts_with('$') {
            field(kind, key, held, value);
        }
    }
    for (key, order) in fields {
        if let Some(list) = key.strip_prefix("$setElementOrder/") {
            reorder(kind, list, held, order);
        }
    }
    held.retain(|key, _| !key.starts_with('$'));
}

/// Merges the patch of one field. Null or the directive `delete` removes the field.
fn field(kind: &str, key: &str, held: &mut Map<String, Value>, value: &Value) {
    match value {
        Value::Null => {
            held.shift_remove(key);
        }
        Value::Object(patch) if patch.get("$patch").and_then(Value::as_str) == Some("delete") => {
            held.shift_remove(key);
        }
        Value::Object(_) => object(kind, held.entry(key.to_owned()).or_insert(Value::Null), value),
        Value::Array(items) => {
            let before = held.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
            held.insert(key.to_owned(), Value::Array(list(kind, key, before, items)));
        }
        _ => {
            held.insert(key.to_owned(), value.clone());
        }
    }
}

/// Merges a list by key, or replaces a list without a key.
fn list(kind: &str, name: &str, mut held: Vec<Value>, items: &[Value]) -> Vec<Value> {
    if is_merged_set(name) {
        let new: Vec<Value> = items.iter().filter(|item| !held.contains(item)).cloned().collect();
        held.extend(new);
        return held;
    }
    let Some(key) = merge_key(kind, name) else { return items.to_vec() };
    let directive = |item: &Value| item.get("$patch").and_then(Value::as_str).unwrap_or_default().to_owned();
    if items.iter().any(|item| directive(item) == "replace") {
        return items.iter().filter(|item| directive(item) != "replace").cloned().collect();
    }
    for item in items {
        let position = held.iter().position(|held| held.get(key).is_some() && held.get(key) == item.get(key));
        match (directive(item).as_str(), position) {
            ("delete", Some(position)) => {
                held.remove(position);
            }
            ("delete", None) => {}
            (_, Some(position)) => object(kind, &mut held[position], item),
            (_, None) => {
                let mut new = Value::Null;
                object(kind, &mut new, item);
                held.push(new);
            }
        }
    }
    held
}

/// Removes values from a list of plain values.
fn remove_values(held: &mut Map<String, Value>, list: &str, values: &Value) {
    let values = values.as_array().cloned().unwrap_or_default();
    if let Some(items) = held.get_mut(list).and_then(Value::as_array_mut) {
        items.retain(|item| !values.contains(item));
    }
}

/// Sorts items in the order that the patch states. Other items follow in their previous order.
fn reorder(kind: &str, list: &str, held: &mut Map<String, Value>, order: &Value) {
    let Some(order) = order.as_array() else { return };
    let key = merge_key(kind, list);
    let Some(items) = held.get_mut(list).and_then(Value::as_array_mut) else { return };
    let place = |item: &Value| {
        let same = |each: &Value| match key {
            Some(key) => each.get(key) == item.get(key),
            None => each == item,
        };
        order.iter().position(same).unwrap_or(order.len())
    };
    items.sort_by_key(place);
}
