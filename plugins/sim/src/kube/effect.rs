use serde_json::{Value, json};

use super::json::set;
use super::resource::Resource;
use super::state::{Kube, Kubelet};

/// One change of a cluster, decided by a behaviour and made by the module `commit`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    /// Stores an object, new or changed, exactly as it is.
    Put { resource: Resource, object: Value },
    /// Removes the object under a key.
    Remove { resource: Resource, key: String },
    /// Adds an object, with defaults, on behalf of a component of the cluster. An existing object
    /// remains unchanged.
    Add { resource: Resource, object: Value, manager: &'static str },
    /// Sets or removes fields of an object on behalf of `manager`, which owns the changed fields
    /// afterwards. No change is recorded if all fields have these values already, or if there is no
    /// such object.
    Edit { resource: Resource, key: String, manager: String, fields: Vec<FieldEdit> },
    /// Removes all objects of a resource that is no longer served, by its qualified name.
    RemoveAll { resource: String },
    /// Replaces the entry for the kubelet of a node; `None` removes it.
    SetKubelet { node: String, kubelet: Option<Kubelet> },
}

/// New value of the field at a path of keys; `None` removes the field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FieldEdit {
    /// Keys from the root of the object to the field.
    pub(crate) path: Vec<&'static str>,
    /// Value to set; `None` removes the field.
    pub(crate) value: Option<Value>,
}

impl FieldEdit {
    /// Creates an edit that sets the field at `path`.
    pub(crate) fn set(path: &[&'static str], value: Value) -> Self {
        Self { path: path.to_vec(), value: Some(value) }
    }

    /// Creates an edit that removes the field at `path`.
    pub(crate) fn remove(path: &[&'static str]) -> Self {
        Self { path: path.to_vec(), value: None }
    }
}

/// Result of a request, with the effects that it depends on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decision<T> {
    /// Result that is valid once the effects are applied.
    pub(crate) value: T,
    /// Effects in the order in which they are applied; empty for a read or a dry run.
    pub(crate) effects: Vec<Effect>,
}

impl<T> Decision<T> {
    /// Creates a decision that changes nothing.
    pub(crate) fn unchanged(value: T) -> Self {
        Self { value, effects: Vec::new() }
    }

    /// Creates a decision that is valid once `effects` are applied.
    pub(crate) fn new(value: T, effects: EffectList) -> Self {
        Self { value, effects: effects.list }
    }

    /// Converts the result and keeps the effects.
    pub(crate) fn map<U>(self, convert: impl FnOnce(T) -> U) -> Decision<U> {
        Decision { value: convert(self.value), effects: self.effects }
    }
}

/// Effects of one request, each of which is one revision of the cluster.
///
/// The list computes the revision of each effect in advance, so that a reply can show an object as
/// it will be stored.
#[derive(Debug)]
pub(crate) struct EffectList {
    /// Revision of the cluster after the effects in the list.
    revision: u64,
    /// Effects in the order in which they were added.
    list: Vec<Effect>,
}

impl EffectList {
    /// Creates an empty list for a request to `kube`.
    pub(crate) fn new(kube: &Kube) -> Self {
        Self { revision: kube.revision(), list: Vec::new() }
    }

    /// Adds the storage of an object. Returns the object with the resource version that it will
    /// have.
    pub(crate) fn put(&mut self, resource: &Resource, mut object: Value) -> Value {
        self.revision += 1;
        set(&mut object, &["metadata", "resourceVersion"], json!(self.revision.to_string()));
        self.list.push(Effect::Put { resource: resource.clone(), object: object.clone() });
        object
    }

    /// Adds the removal of an existing object.
    pub(crate) fn remove(&mut self, resource: &Resource, key: String) {
        self.revision += 1;
        self.list.push(Effect::Remove { resource: resource.clone(), key });
    }

    /// Returns the revision of the cluster after these effects.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// Returns the effects in the order in which they are applied.
    pub(crate) fn into_effects(self) -> Vec<Effect> {
        self.list
    }
}
