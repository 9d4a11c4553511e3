use serde_json::{Value, json};

use super::read::versioned;
use super::request::{ApiRequest, Target};
use super::resource::Resource;
use super::selector::Selector;
use super::state::{Kube, ObjectChange};
use super::status::Refusal;

/// State of an open watch.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Resource of the watched objects.
    resource: Resource,
    /// Condition for the watched objects.
    selector: Selector,
    /// True if the client accepts bookmarks.
    bookmarks: bool,
    /// Revision up to which changes were returned.
    revision: u64,
    /// Events that precede all changes: the existing objects.
    initial: Vec<Value>,
    /// True after the event `ERROR`, which is the last one.
    ended: bool,
}

impl Watch {
    /// Starts a watch.
    ///
    /// The watch first returns the existing objects if `resourceVersion` is absent or `0`, or with
    /// `sendInitialEvents`. With `sendInitialEvents` and bookmarks, a bookmark with the annotation
    /// `k8s.io/initial-events-end` follows them, as for a streaming list of the real server.
    ///
    /// # Errors
    ///
    /// 422 for a malformed resource version, 400 for a malformed selector.
    pub(crate) fn begin(
        kube: &Kube,
        request: &ApiRequest,
        resource: Resource,
        target: &Target,
    ) -> Result<Self, Refusal> {
        let mut selector_request = request.clone();
        if let Some(name) = &target.name {
            selector_request.query.push(("fieldSelector".to_owned(), format!("metadata.name={name}")));
        }
        let selector = Selector::of(&selector_request, &resource, target.namespace.as_deref())?;
        let from = request.parameter("resourceVersion").unwrap_or_default();
        let from: u64 = if from.is_empty() { 0 } else { from.parse().map_err(|_| invalid_version(from))? };
        let bookmarks = request.is_set("allowWatchBookmarks");
        let sends_initial = request.is_set("sendInitialEvents");
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

    /// Returns the events since the last call.
    ///
    /// A watch from a compacted revision ends with one event `ERROR` with code 410.
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
        events.extend(fresh.filter_map(|change| self.event(change)));
        self.revision = kube.revision;
        events
    }

    /// Returns true if no further event follows.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Returns the resource of the watched objects.
    pub(crate) fn resource(&self) -> &Resource {
        &self.resource
    }

    /// Returns the event for a change; `None` for an object outside the selection.
    ///
    /// An object that enters the selection is added, one that leaves it is deleted.
    fn event(&self, change: &ObjectChange) -> Option<Value> {
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

    /// Returns a bookmark; `None` if the client does not accept bookmarks.
    pub(crate) fn mark(&self) -> Option<Value> {
        self.bookmarks.then(|| self.bookmark())
    }

    /// Returns an event `BOOKMARK` with the current revision.
    fn bookmark(&self) -> Value {
        let metadata = json!({ "resourceVersion": self.revision.to_string() });
        event(
            "BOOKMARK",
            &json!({ "kind": self.resource.kind, "apiVersion": self.resource.api_version(), "metadata": metadata }),
        )
    }
}

/// Returns the refusal of a malformed resource version.
fn invalid_version(given: &str) -> Refusal {
    let cause = super::status::Cause::invalid("resourceVersion", &json!(given), "strconv.ParseUint: invalid syntax");
    Refusal::invalid("meta.k8s.io", "ListOptions", "", &[cause])
}

/// Returns an event of a type with its object.
fn event(kind: &str, object: &Value) -> Value {
    json!({ "type": kind, "object": object })
}
