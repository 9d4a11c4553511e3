use serde_json::{Value, json};

use super::call::{Call, Target};
use super::read::versioned;
use super::resource::Resource;
use super::selector::Selector;
use super::state::{Kube, ObjectChange};
use super::status::Refusal;

/// A watch that has begun: what it is about, and how far it has come.
#[derive(Debug)]
pub(crate) struct Watch {
    resource: Resource,
    selector: Selector,
    bookmarks: bool,
    revision: u64,
    /// Events that are due before any change: the objects as they are.
    initial: Vec<Value>,
    ended: bool,
}

impl Watch {
    /// Begins a watch.
    ///
    /// Without `resourceVersion`, or with `0`, or with `sendInitialEvents`, it begins with the
    /// objects that there are.
    pub(crate) fn begin(kube: &Kube, call: &Call, resource: Resource, target: &Target) -> Result<Self, Refusal> {
        let mut selector_call = call.clone();
        if let Some(name) = &target.name {
            selector_call.query.push(("fieldSelector".to_owned(), format!("metadata.name={name}")));
        }
        let selector = Selector::of(&selector_call, &resource, target.namespace.as_deref())?;
        let from = call.parameter("resourceVersion").unwrap_or_default();
        let from: u64 = if from.is_empty() { 0 } else { from.parse().map_err(|_| invalid_version(from))? };
        let bookmarks = call.is_set("allowWatchBookmarks");
        let sends_initial = call.is_set("sendInitialEvents");
        let mut watch = Self { resource, selector, bookmarks, revision: from, initial: Vec::new(), ended: false };
        if from == 0 || sends_initial {
            watch.revision = kube.revision;
            let objects = kube.all(&watch.resource.qualified()).filter(|object| watch.selector.accepts(object));
            watch.initial = objects.map(|object| event("ADDED", &versioned(&watch.resource, object))).collect();
            if sends_initial && bookmarks {
                let mut mark = watch.bookmark();
                mark["object"]["metadata"]["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
                watch.initial.push(mark);
            }
        }
        Ok(watch)
    }

    /// The events since the last call.
    pub(crate) fn take(&mut self, kube: &Kube) -> Vec<Value> {
        if self.ended {
            return Vec::new();
        }
        if self.revision < kube.compacted() {
            self.ended = true;
            let message = format!("too old resource version: {} ({})", self.revision, kube.compacted());
            return vec![event("ERROR", &Refusal::expired(&message).body)];
        }
        let mut events = std::mem::take(&mut self.initial);
        let qualified = self.resource.qualified();
        let first = kube.history.partition_point(|change| change.revision <= self.revision);
        let fresh = kube.history.iter().skip(first).filter(|change| change.resource == qualified);
        events.extend(fresh.filter_map(|change| self.told(change)));
        self.revision = kube.revision;
        events
    }

    /// Whether nothing more will come.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    pub(crate) fn resource(&self) -> &Resource {
        &self.resource
    }

    /// What the watcher sees of a change: an object that comes into the selection is added, one
    /// that leaves it is deleted.
    fn told(&self, change: &ObjectChange) -> Option<Value> {
        let seen = |state: &Option<std::sync::Arc<Value>>| state.clone().filter(|object| self.selector.accepts(object));
        let (kind, object) = match (seen(&change.before), seen(&change.after)) {
            (None, Some(after)) => ("ADDED", after),
            (Some(_), Some(after)) => ("MODIFIED", after),
            (Some(before), None) => ("DELETED", before),
            (None, None) => return None,
        };
        let mut object = versioned(&self.resource, &object);
        object["metadata"]["resourceVersion"] = json!(change.revision.to_string());
        Some(event(kind, &object))
    }

    /// Tells how far the watch has come; none if the client did not ask for that.
    pub(crate) fn mark(&self) -> Option<Value> {
        self.bookmarks.then(|| self.bookmark())
    }

    fn bookmark(&self) -> Value {
        let metadata = json!({ "resourceVersion": self.revision.to_string() });
        event(
            "BOOKMARK",
            &json!({ "kind": self.resource.kind, "apiVersion": self.resource.api_version(), "metadata": metadata }),
        )
    }
}

fn invalid_version(given: &str) -> Refusal {
    let cause = super::status::Cause::invalid("resourceVersion", &json!(given), "strconv.ParseUint: invalid syntax");
    Refusal::invalid("meta.k8s.io", "ListOptions", "", &[cause])
}

fn event(kind: &str, object: &Value) -> Value {
    json!({ "type": kind, "object": object })
}
