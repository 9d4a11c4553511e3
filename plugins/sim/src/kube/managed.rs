use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::fields::{Fields, difference};
use super::json::{list_at, moment, object_mut, remove, set, str_at};
use super::resource::Resource;
use super::shape::Shape;

/// Who writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manager<'a> {
    pub(crate) name: &'a str,
    pub(crate) subresource: &'a str,
    pub(crate) now: Timestamp,
}

/// The fields that one writer owns.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) manager: String,
    pub(crate) is_apply: bool,
    pub(crate) subresource: String,
    pub(crate) fields: Fields,
    api_version: String,
    time: Value,
}

impl Entry {
    pub(crate) fn new(resource: &Resource, by: Manager<'_>, is_apply: bool, fields: Fields) -> Self {
        Self {
            manager: by.name.to_owned(),
            is_apply,
            subresource: by.subresource.to_owned(),
            fields,
            api_version: resource.api_version(),
            time: moment(by.now),
        }
    }

    pub(crate) fn is_of(&self, by: Manager<'_>, is_apply: bool) -> bool {
        self.manager == by.name && self.subresource == by.subresource && self.is_apply == is_apply
    }

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

/// Who owns what in an object.
pub(crate) fn entries(object: &Value) -> Vec<Entry> {
    list_at(object, &["metadata", "managedFields"]).iter().map(Entry::read).collect()
}

/// Writes down who owns what; who owns nothing is left out.
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

/// Writes down that `by` made `after` out of `before` with a request that is not an apply: it owns
/// what it wrote, and nobody owns what is gone.
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

/// Whether two objects say the same, but for who wrote it and when.
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
