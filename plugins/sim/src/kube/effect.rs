use serde_json::{Value, json};

use super::json::set;
use super::resource::Resource;
use super::state::{Kube, Kubelet};

/// One change of a cluster that a behaviour has decided on. [`apply`](super::commit::apply) makes
/// it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    /// Stores an object, new or changed, as it is.
    Put { resource: Resource, object: Value },
    /// Removes the object under a key.
    Remove { resource: Resource, key: String },
    /// Adds an object on behalf of a component of the cluster, with defaults. An existing object
    /// stays as it is.
    Add { resource: Resource, object: Value, manager: &'static str },
    /// Sets or removes fields of an object on behalf of `manager`, which owns the changed fields
    /// afterwards. No change is recorded if all fields have these values already, or if there
    /// is no such object.
    Edit { resource: Resource, key: String, manager: String, fields: Vec<FieldEdit> },
    /// Removes all objects of a resource that is no longer served, by its qualified name.
    RemoveAll { resource: String },
    /// Replaces what is known of the kubelet of a node; `None` forgets the kubelet.
    SetKubelet { node: String, kubelet: Option<Kubelet> },
}

/// New value of the field at a path of keys; `None` removes the field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FieldEdit {
    pub(crate) path: Vec<&'static str>,
    pub(crate) value: Option<Value>,
}

impl FieldEdit {
    /// Sets the field at `path`.
    pub(crate) fn set(path: &[&'static str], value: Value) -> Self {
        Self { path: path.to_vec(), value: Some(value) }
    }

    /// Removes the field at `path`.
    pub(crate) fn remove(path: &[&'static str]) -> Self {
        Self { path: path.to_vec(), value: None }
    }
}

/// Result of a request, and the effects that make it true.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decision<T> {
    pub(crate) value: T,
    pub(crate) effects: Vec<Effect>,
}

impl<T> Decision<T> {
    /// Creates a decision that changes nothing.
    pub(crate) fn unchanged(value: T) -> Self {
        Self { value, effects: Vec::new() }
    }

    /// Creates a decision that is true once `effects` are applied.
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
/// The list knows the revision that each effect will get, so that a reply can show an object as it
/// will be stored.
#[derive(Debug)]
pub(crate) struct EffectList {
    revision: u64,
    list: Vec<Effect>,
}

impl EffectList {
    /// Creates an empty list for a request to `kube`.
    pub(crate) fn new(kube: &Kube) -> Self {
        Self { revision: kube.revision(), list: Vec::new() }
    }

    /// Stores an object, and returns it with the resource version that it will have.
    pub(crate) fn put(&mut self, resource: &Resource, mut object: Value) -> Value {
        self.revision += 1;
        set(&mut object, &["metadata", "resourceVersion"], json!(self.revision.to_string()));
        self.list.push(Effect::Put { resource: resource.clone(), object: object.clone() });
        object
    }

    /// Removes an existing object.
    pub(crate) fn remove(&mut self, resource: &Resource, key: String) {
        self.revision += 1;
        self.list.push(Effect::Remove { resource: resource.clone(), key });
    }

    /// Revision of the cluster after these effects.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// Returns the effects in the order in which they are applied.
    pub(crate) fn into_effects(self) -> Vec<Effect> {
        self.list
    }
}
