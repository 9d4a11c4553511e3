use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::shape::{ListKind, Shape, item_key};

/// Set of fields of an object, in the structure of `fieldsV1` of managed fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    /// True if the field itself is in the set, and not only fields inside it.
    member: bool,
    /// Fields inside, by path element: `f:NAME`, `k:{KEYS}` or `v:VALUE`.
    children: BTreeMap<String, Fields>,
}

/// Fields that differ between two states of an object.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    /// Fields that are new or have another value.
    pub(crate) written: Fields,
    /// Fields that no longer exist.
    pub(crate) removed: Fields,
}

/// Keys of metadata that no manager owns: identity, and values that the server maintains.
const UNOWNED: [&str; 11] = [
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "generation",
    "managedFields",
    "selfLink",
    "generateName",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];

impl Fields {
    /// Parses `fieldsV1`. The key `.` represents the field itself.
    pub(crate) fn read(value: &Value) -> Self {
        let Some(map) = value.as_object() else { return Self::default() };
        let children: BTreeMap<String, Self> = map
            .iter()
            .filter(|(key, _)| *key != ".")
            .map(|(key, value)| (key.clone(), Self::read_child(value)))
            .collect();
        Self { member: map.contains_key("."), children }
    }

    /// Parses the set below a key. A key without content is a member itself.
    fn read_child(value: &Value) -> Self {
        let child = Self::read(value);
        Self { member: child.member || child.children.is_empty(), ..child }
    }

    /// Writes the set as `fieldsV1`.
    pub(crate) fn write(&self) -> Value {
        let mut map = Map::new();
        if self.member && !self.children.is_empty() {
            map.insert(".".to_owned(), Value::Object(Map::new()));
        }
        map.extend(self.children.iter().map(|(key, child)| (key.clone(), child.write())));
        Value::Object(map)
    }

    /// Returns true if the set contains no field.
    pub(crate) fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }

    /// Returns the fields that are in either set.
    pub(crate) fn union(mut self, other: &Self) -> Self {
        self.member |= other.member;
        for (key, child) in &other.children {
            let held = self.children.remove(key).unwrap_or_default();
            self.children.insert(key.clone(), held.union(child));
        }
        self
    }

    /// Returns the fields that are in this set and not in the other.
    pub(crate) fn minus(&self, other: &Self) -> Self {
        let children = self.children.iter().map(|(key, child)| match other.children.get(key) {
            Some(theirs) => (key.clone(), child.minus(theirs)),
            None => (key.clone(), child.clone()),
        });
        Self {
            member: self.member && !other.member,
            children: children.filter(|(_, child)| !child.is_empty()).collect(),
        }
    }

    /// Returns the fields that are in both sets.
    pub(crate) fn intersection(&self, other: &Self) -> Self {
        let children = self
            .children
            .iter()
            .filter_map(|(key, child)| Some((key.clone(), child.intersection(other.children.get(key)?))))
            .filter(|(_, child)| !child.is_empty());
        Self { member: self.member && other.member, children: children.collect() }
    }

    /// Returns the paths of all members as a conflict message contains them, such as
    /// `.spec.replicas`.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect("", &mut paths);
        paths
    }

    /// Appends the paths of the members below `path`.
    fn collect(&self, path: &str, paths: &mut Vec<String>) {
        if self.member && !path.is_empty() {
            paths.push(path.to_owned());
        }
        for (key, child) in &self.children {
            child.collect(&format!("{path}{}", readable(key)), paths);
        }
    }

    /// Adds a set below a key, unless the set is empty.
    fn attach(&mut self, key: String, child: Self) {
        if !child.is_empty() {
            self.children.insert(key, child);
        }
    }

    /// Returns the fields that a value states, as its sole manager would own them.
    pub(crate) fn stated(shape: Shape<'_>, value: &Value) -> Self {
        let mut fields = Self::default();
        match value {
            Value::Object(map) if !shape.is_atomic_map() => {
                for (key, value) in map {
                    let mut child = Self::stated(shape.field(key), value);
                    child.member |= is_bare(value) || !shape.declares(key);
                    fields.attach(format!("f:{key}"), child);
                }
            }
            Value::Array(items) if shape.list() != ListKind::Atomic => {
                for item in items {
                    let Some(key) = element(shape, item) else { continue };
                    let child = Self { member: true, ..Self::stated(shape.items(), item) };
                    fields.attach(key, child);
                }
            }
            _ => fields.member = true,
        }
        fields
    }

    /// Removes the fields that no manager can own: identity, and values that the server maintains.
    pub(crate) fn ownable(mut self) -> Self {
        self.member = false;
        self.children.remove("f:apiVersion");
        self.children.remove("f:kind");
        if let Some(metadata) = self.children.get_mut("f:metadata") {
            metadata.member = false;
            for key in UNOWNED {
                metadata.children.remove(&format!("f:{key}"));
            }
            if metadata.children.is_empty() {
                self.children.remove("f:metadata");
            }
        }
        self
    }

    /// Removes from `value` each member of this set that is not in `kept`, with its content.
    ///
    /// In built-in objects, a map that becomes empty is removed too.
    pub(crate) fn prune(&self, shape: Shape<'_>, value: &mut Value, kept: &Self) {
        match value {
            Value::Object(map) => {
                for (key, child) in &self.children {
                    let Some(name) = key.strip_prefix("f:") else { continue };
                    let Some(held) = map.get_mut(name) else { continue };
                    let theirs = kept.children.get(key);
                    if child.member && theirs.is_none() {
                        map.shift_remove(name);
                        continue;
                    }
                    child.prune(shape.field(name), held, theirs.unwrap_or(&Self::default()));
                    let is_hollow = held.as_object().is_some_and(Map::is_empty) && theirs.is_none();
                    if is_hollow && matches!(shape, Shape::BuiltIn { .. }) {
                        map.shift_remove(name);
                    }
                }
            }
            Value::Array(items) => items.retain_mut(|item| {
                let Some(key) = element(shape, item) else { return true };
                let Some(child) = self.children.get(&key) else { return true };
                let theirs = kept.children.get(&key);
                if child.member && theirs.is_none() {
                    return false;
                }
                child.prune(shape.items(), item, theirs.unwrap_or(&Self::default()));
                true
            }),
            _ => {}
        }
    }
}

/// Returns true if a value is owned as a whole: null or an empty map.
fn is_bare(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(Map::is_empty)
}

/// Returns the path element of an item of a list that merges; `None` for an atomic list.
fn element(shape: Shape<'_>, item: &Value) -> Option<String> {
    match shape.list() {
        ListKind::Atomic => None,
        ListKind::Set => Some(format!("v:{item}")),
        ListKind::Map(keys) => item_key(&keys, item).map(|key| format!("k:{}", Value::Object(key))),
    }
}

/// Returns the path element of an item of a list in the form of messages: its keys, its value, or
/// its index in an atomic list.
pub(crate) fn item_path(list: Shape<'_>, item: &Value, index: usize) -> String {
    element(list, item).map_or_else(|| format!("[{index}]"), |element| readable(&element))
}

/// Returns a path element in the form of conflict messages: `.name`, `[key=value]` or `[=value]`.
fn readable(element: &str) -> String {
    match element.split_once(':') {
        Some(("f", name)) => format!(".{name}"),
        Some(("k", keys)) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("[{}]", keys.join(","))
        }
        Some((_, value)) => format!("[={value}]"),
        None => element.to_owned(),
    }
}

/// Returns the fields that change from `before` to `after`; null represents a missing object.
pub(crate) fn difference(shape: Shape<'_>, before: &Value, after: &Value) -> Difference {
    let mut difference = Difference::default();
    match (before, after) {
        (Value::Null | Value::Object(_), Value::Null | Value::Object(_)) if !shape.is_atomic_map() => {
            let empty = Map::new();
            let (before, after) = (before.as_object().unwrap_or(&empty), after.as_object().unwrap_or(&empty));
            for key in before.keys().chain(after.keys().filter(|key| !before.contains_key(*key))) {
                let is_solid = shape.is_solid(key);
                child(
                    &mut difference,
                    format!("f:{key}"),
                    shape.field(key),
                    (before.get(key), after.get(key)),
                    is_solid,
                );
            }
        }
        (Value::Null | Value::Array(_), Value::Null | Value::Array(_)) if shape.list() != ListKind::Atomic => {
            let (before, after) = (by_element(shape, before), by_element(shape, after));
            for key in before.keys().chain(after.keys().filter(|key| !before.contains_key(*key))) {
                let pair = (before.get(key).copied(), after.get(key).copied());
                child(&mut difference, key.clone(), shape.items(), pair, false);
            }
        }
        _ if before != after => difference.written.member = true,
        _ => {}
    }
    difference
}

/// Returns the items of a list by path element.
fn by_element<'a>(shape: Shape<'_>, list: &'a Value) -> BTreeMap<String, &'a Value> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| Some((element(shape, item)?, item))).collect()
}

/// Adds the difference of one field to `into`.
///
/// A solid field never appears or disappears itself; only its content does.
fn child(into: &mut Difference, key: String, shape: Shape<'_>, pair: (Option<&Value>, Option<&Value>), is_solid: bool) {
    let (before, after) = pair;
    if before == after {
        return;
    }
    let below = match (before, after) {
        (None, Some(after)) => difference(shape, &Value::Null, after),
        (Some(before), None) => {
            Difference { removed: difference(shape, &Value::Null, before).written, written: Fields::default() }
        }
        (Some(before), Some(after)) => difference(shape, before, after),
        (None, None) => return,
    };
    let (appeared, went) = (before.is_none() && !is_solid, after.is_none() && !is_solid);
    let Difference { written, removed } = below;
    into.written.attach(key.clone(), Fields { member: written.member || appeared, ..written });
    into.removed.attach(key, Fields { member: removed.member || went, ..removed });
}
