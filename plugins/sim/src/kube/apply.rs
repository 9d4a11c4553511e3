use serde_json::{Map, Value, json};

use super::fields::{Fields, difference};
use super::json::{remove, set};
use super::managed::{self, Entry, Manager};
use super::resource::Resource;
use super::shape::{ListKind, Shape, item_key};
use super::status::Refusal;

/// Returns the object after a server-side apply of `applied` to `live`; `live` is null for a new
/// object.
///
/// The manager `by` owns exactly the fields that `applied` states. Fields that it owned before and
/// no longer states are removed, unless another manager owns them.
///
/// # Errors
///
/// 409 `Conflict` if another manager owns a field that would change and `force` is false.
pub(crate) fn apply(
    resource: &Resource,
    live: &Value,
    applied: &Value,
    by: Manager<'_>,
    force: bool,
) -> Result<Value, Refusal> {
    let shape = Shape::of(resource);
    let mut applied = applied.clone();
    if resource.custom.is_none() {
        drop_empty_maps(&mut applied);
    }
    let mut entries = managed::entries(live);
    let mut bare = live.clone();
    remove(&mut bare, &["metadata", "managedFields"]);
    let mut merged = merge(shape, &bare, &applied);
    let written = difference(shape, &bare, &merged).written.ownable();
    settle_conflicts(&mut entries, &written, by, force)?;
    let stated = Fields::stated(shape, &applied).ownable();
    let before =
        entries.iter().find(|entry| entry.is_of(by, true)).map(|entry| entry.fields.clone()).unwrap_or_default();
    let others = entries.iter().filter(|entry| !entry.is_of(by, true));
    let kept = others.fold(stated.clone(), |kept, entry| kept.union(&entry.fields));
    before.minus(&stated).prune(shape, &mut merged, &kept);
    let same = before == stated;
    if !same {
        entries.retain(|entry| !entry.is_of(by, true));
        entries.push(Entry::new(resource, by, true, stated));
    }
    managed::store(&mut merged, entries);
    Ok(merged)
}

/// Resolves conflicts with the other managers: with `force` they lose the written fields, otherwise
/// the apply is refused.
fn settle_conflicts(entries: &mut [Entry], written: &Fields, by: Manager<'_>, force: bool) -> Result<(), Refusal> {
    let mut causes = Vec::new();
    for entry in entries.iter_mut().filter(|entry| !entry.is_of(by, true)) {
        let taken = entry.fields.intersection(written);
        if force {
            entry.fields = entry.fields.minus(&taken);
            continue;
        }
        let owner = owner(entry);
        causes.extend(taken.paths().into_iter().map(|path| (owner.clone(), path)));
    }
    if causes.is_empty() { Ok(()) } else { Err(conflict(&causes)) }
}

/// Returns the description of a manager as a conflict message contains it.
///
/// The text is `"manager" using v1` for an update, `"manager"` for an apply.
fn owner(entry: &Entry) -> String {
    let subresource = if entry.subresource.is_empty() {
        String::new()
    } else {
        format!(" with subresource \"{}\"", entry.subresource)
    };
    if entry.is_apply {
        format!("\"{}\"{subresource}", entry.manager)
    } else {
        format!("\"{}\"{subresource} using v1", entry.manager)
    }
}

/// Returns the refusal that lists each conflicting field with its manager.
fn conflict(causes: &[(String, String)]) -> Refusal {
    let count = causes.len();
    let message = if let [(owner, path)] = causes {
        format!("Apply failed with 1 conflict: conflict with {owner}: {path}")
    } else {
        let mut lines: Vec<String> = Vec::new();
        let mut last = "";
        for (owner, path) in causes {
            if owner != last {
                lines.push(format!("conflicts with {owner}:"));
                last = owner;
            }
            lines.push(format!("- {path}"));
        }
        format!("Apply failed with {count} conflicts: {}", lines.join("\n"))
    };
    let causes: Vec<Value> = causes
        .iter()
        .map(|(owner, path)| json!({ "reason": "FieldManagerConflict", "message": format!("conflict with {owner}"), "field": path }))
        .collect();
    Refusal::new(409, "Conflict", &message, Some(json!({ "causes": causes })))
}

/// Removes empty maps with keys of the user's choice, which built-in objects do not distinguish
/// from absent ones.
fn drop_empty_maps(applied: &mut Value) {
    for path in [&["data"] as &[&str], &["binaryData"], &["metadata", "labels"], &["metadata", "annotations"]] {
        if super::json::object_at(applied, path).is_some_and(Map::is_empty) {
            remove(applied, path);
        }
    }
}

/// Returns `live` with the values of `applied` added or replaced; removes no field.
fn merge(shape: Shape<'_>, live: &Value, applied: &Value) -> Value {
    match (live, applied) {
        (Value::Object(live), Value::Object(applied)) if !shape.is_atomic_map() => {
            let mut merged = live.clone();
            for (key, value) in applied {
                let held = live.get(key).unwrap_or(&Value::Null);
                merged.insert(key.clone(), merge(shape.field(key), held, value));
            }
            Value::Object(merged)
        }
        (Value::Array(live), Value::Array(applied)) => match shape.list() {
            ListKind::Atomic => Value::Array(applied.clone()),
            ListKind::Set => {
                let new = applied.iter().filter(|item| !live.contains(item));
                live.iter().chain(new).cloned().collect()
            }
            ListKind::Map(keys) => merge_items(shape, &keys, live, applied),
        },
        _ => applied.clone(),
    }
}

/// Merges a list whose items are identified by `keys`. New items are appended in the order of
/// `applied`.
fn merge_items(shape: Shape<'_>, keys: &[String], live: &[Value], applied: &[Value]) -> Value {
    let mut merged = live.to_vec();
    for item in applied {
        let key = item_key(keys, item);
        let held = merged.iter_mut().find(|held| key.is_some() && item_key(keys, held) == key);
        match held {
            Some(held) => *held = merge(shape.items(), &held.clone(), item),
            None => merged.push(item.clone()),
        }
    }
    Value::Array(merged)
}

/// Completes the body of an apply with the name and namespace from the path.
pub(crate) fn complete(resource: &Resource, applied: &mut Value, namespace: &str, name: &str) {
    set(applied, &["metadata", "name"], json!(name));
    if resource.namespaced {
        set(applied, &["metadata", "namespace"], json!(namespace));
    }
}
