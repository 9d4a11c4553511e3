use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::fields::{Fields, difference};
use super::json::{list_at, object_mut, remove, rfc3339, set, str_at};
use super::resource::Resource;
use super::shape::Shape;

/// Field manager that makes a request, and the time of the request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manager<'a> {
    /// Name of the manager, such as `kubectl`.
    pub(crate) name: &'a str,
    /// Subresource that is written; empty for the object itself.
    pub(crate) subresource: &'a str,
    /// Time that the entry gets if its fields change.
    pub(crate) now: Timestamp,
}

/// Entry of `metadata.managedFields`: the fields that one manager owns.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Name of the manager.
    pub(crate) manager: String,
    /// True for the operation `Apply`, false for `Update`. A manager has separate entries for both.
    pub(crate) is_apply: bool,
    /// Subresource that was written; empty for the object itself.
    pub(crate) subresource: String,
    /// Fields that the manager owns.
    pub(crate) fields: Fields,
    /// API version that the fields are named in.
    api_version: String,
    /// Time of the last change of the entry, as text.
    time: Value,
}

impl Entry {
    /// Creates an entry with the time of the request.
    pub(crate) fn new(resource: &Resource, by: Manager<'_>, is_apply: bool, fields: Fields) -> Self {
        Self {
            manager: by.name.to_owned(),
            is_apply,
            subresource: by.subresource.to_owned(),
            fields,
            api_version: resource.api_version(),
            time: rfc3339(by.now),
        }
    }

    /// Returns true if the entry belongs to a manager and its subresource and operation.
    pub(crate) fn is_of(&self, by: Manager<'_>, is_apply: bool) -> bool {
        self.manager == by.name && self.subresource == by.subresource && self.is_apply == is_apply
    }

    /// Reads an entry of `managedFields`.
    fn read(value: &Value) -> Self {
        Self {
            manager: str_at(value, &["manager"]).to_owned(),
            is_apply: str_at(value, &["operation"]) == "Apply",
            subresource: str_at(value, &["subresource"]).to_owned(),
            fields: Fields::read(value.get("fieldsV1").unwrap_or(&Value::Null)),
            api_version: str_at(value, &["apiVersion"]).to_owned(),
            time: value.get("time").cloned().unwrap_or_default(),
        }
    }

    /// Writes the entry as in `managedFields`.
    fn write(&self) -> Value {
        let mut entry = Map::new();
        entry.insert("manager".to_owned(), json!(self.manager));
        entry.insert("operation".to_owned(), json!(if self.is_apply { "Apply" } else { "Update" }));
        entry.insert("apiVersion".to_owned(), json!(self.api_version));
        entry.insert("time".to_owned(), self.time.clone());
        entry.insert("fieldsType".to_owned(), json!("FieldsV1"));
        entry.insert("fieldsV1".to_owned(), self.fields.write());
        if !self.subresource.is_empty() {
            entry.insert("subresource".to_owned(), json!(self.subresource));
        }
        Value::Object(entry)
    }
}

/// Returns the entries of `managedFields`.
pub(crate) fn entries(object: &Value) -> Vec<Entry> {
    list_at(object, &["metadata", "managedFields"]).iter().map(Entry::read).collect()
}

/// Replaces `managedFields`. Entries without fields are dropped.
///
/// The order is that of the real server: applies first, then by time.
pub(crate) fn store(object: &mut Value, mut entries: Vec<Entry>) {
    entries.retain(|entry| !entry.fields.is_empty());
    entries.sort_by_cached_key(|entry| {
        (!entry.is_apply, entry.time.to_string(), entry.manager.clone(), entry.subresource.clone())
    });
    if entries.is_empty() {
        remove(object, &["metadata", "managedFields"]);
        return;
    }
    let list = entries.iter().map(Entry::write).collect();
    object_mut(object, &["metadata"]).insert("managedFields".to_owned(), list);
}

/// Records that `by` changed `before` to `after` with a request other than an apply.
///
/// The manager owns the fields that it wrote. Other managers lose these fields, and removed fields
/// have no owner. The time of an entry changes only with its fields.
pub(crate) fn updated(resource: &Resource, before: &Value, after: &mut Value, by: Manager<'_>) {
    let mut held = entries(before);
    remove(after, &["metadata", "managedFields"]);
    let change = difference(Shape::of(resource), before, after);
    let (written, removed) = (change.written.ownable(), change.removed.ownable());
    let mut own = Fields::default();
    for entry in &mut held {
        if entry.is_of(by, false) {
            own = std::mem::take(&mut entry.fields).minus(&removed);
        } else {
            entry.fields = entry.fields.minus(&written).minus(&removed);
        }
    }
    let time = held.iter().find(|entry| entry.is_of(by, false)).map(|entry| entry.time.clone());
    held.retain(|entry| !entry.is_of(by, false));
    let mut entry = Entry::new(resource, by, false, own.union(&written));
    if let Some(time) = time.filter(|_| written.is_empty() && removed.is_empty()) {
        entry.time = time;
    }
    held.push(entry);
    store(after, held);
}

/// Returns true if two objects differ at most in resource version and in the times of
/// `managedFields`.
pub(crate) fn same(one: &Value, other: &Value) -> bool {
    let bare = |object: &Value| {
        let mut object = object.clone();
        let owners: Vec<(String, bool, String, Fields)> = entries(&object)
            .into_iter()
            .map(|entry| (entry.manager, entry.is_apply, entry.subresource, entry.fields))
            .collect();
        remove(&mut object, &["metadata", "managedFields"]);
        set(&mut object, &["metadata", "resourceVersion"], Value::Null);
        (object, owners)
    };
    bare(one) == bare(other)
}
