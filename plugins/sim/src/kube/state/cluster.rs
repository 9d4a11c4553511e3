use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::authority::Authority;
use super::kubelet::Kubelet;
use crate::kube::json::{list_at, name_of, namespace_of, set, str_at};
use crate::kube::resource::{self, Resource};

/// Maximum number of changes in the history. A watch from an earlier revision ends with `410 Gone`.
const HISTORY: usize = 10_000;

/// Cluster with its objects and the internal state of its control plane.
///
/// Fields that are not serialized belong to one run of the server.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Kube {
    /// Number of the latest change, which is the resource version of lists.
    pub(crate) revision: u64,
    /// Objects by qualified resource name, then by place.
    pub(crate) objects: BTreeMap<String, BTreeMap<String, Value>>,
    /// Token of a user in `system:masters`.
    pub(crate) admin_token: String,
    /// Key that signs the tokens of service accounts.
    pub(crate) signing_key: String,
    /// Registered kubelets by node.
    pub(crate) kubelets: BTreeMap<String, Kubelet>,
    /// URL of the server; empty until it serves.
    pub(crate) url: String,
    /// Number of seconds by which the clock of the job controller is ahead.
    #[serde(skip)]
    pub(crate) jobs_ahead_seconds: u32,
    /// Other URLs at which clients have reached the server, such as that of a proxy.
    #[serde(skip)]
    pub(crate) reached_at: BTreeSet<String>,
    /// Certificate authority; `None` until the server serves.
    #[serde(skip)]
    pub(crate) authority: Option<Authority>,
    /// Latest changes, in order of their revisions.
    #[serde(skip)]
    pub(crate) history: VecDeque<ObjectChange>,
    /// Sender of the revision of each change.
    #[serde(skip)]
    bell: watch::Sender<u64>,
}

/// Change of one object.
#[derive(Debug, Clone)]
pub(crate) struct ObjectChange {
    /// Revision of the cluster after the change.
    pub(crate) revision: u64,
    /// Qualified name of the resource.
    pub(crate) resource: String,
    /// Key of the object within its resource.
    pub(crate) place: String,
    /// Object before the change; `None` for a new one.
    pub(crate) before: Option<Arc<Value>>,
    /// Object after the change; `None` for a removed one.
    pub(crate) after: Option<Arc<Value>>,
}

impl Kube {
    /// Records the `Host` under which a client has reached the server.
    pub(crate) fn found_at(&mut self, host: &str) {
        let url = format!("https://{host}");
        if !host.is_empty() && url != self.url {
            self.reached_at.insert(url);
        }
    }

    /// Returns true if the server is reachable at a URL without a path.
    pub(crate) fn is_at(&self, url: &str) -> bool {
        !self.url.is_empty() && (url == self.url || self.reached_at.contains(url))
    }

    /// Returns the object of a resource at a place.
    pub(crate) fn object(&self, resource: &Resource, place: &str) -> Option<&Value> {
        self.objects.get(&resource.qualified())?.get(place)
    }

    /// Returns all objects of a resource with the qualified name `plural.group`, sorted by place.
    pub(crate) fn all<'a>(&'a self, qualified: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
        self.objects.get(qualified).into_iter().flat_map(BTreeMap::values)
    }

    /// Returns an object by qualified resource name and place, `namespace/name` or the name of a
    /// cluster-wide object.
    pub(crate) fn named<'a>(&'a self, qualified: &str, name: &str) -> Option<&'a Value> {
        self.objects.get(qualified)?.get(name)
    }

    /// Returns all served resources, built-in ones first.
    pub(crate) fn resources(&self) -> Vec<Resource> {
        let definitions = self.all("customresourcedefinitions.apiextensions.k8s.io");
        resource::built_in().into_iter().chain(definitions.flat_map(resource::of_definition)).collect()
    }

    /// Returns the resource of a path; `None` if it is not served.
    pub(crate) fn resource(&self, group: &str, version: &str, plural: &str) -> Option<Resource> {
        if let Some(found) = resource::find_built_in(group, plural) {
            return (found.version == version).then_some(found);
        }
        let definition = self.named("customresourcedefinitions.apiextensions.k8s.io", &format!("{plural}.{group}"))?;
        resource::of_definition(definition).into_iter().find(|each| each.version == version)
    }

    /// Stores an object under the next revision. Returns it with its new resource version.
    pub(crate) fn put(&mut self, resource: &Resource, mut object: Value) -> Value {
        self.revision += 1;
        set(&mut object, &["metadata", "resourceVersion"], json!(self.revision.to_string()));
        let (qualified, place) = (resource.qualified(), resource.place(namespace_of(&object), name_of(&object)));
        let before = self.objects.entry(qualified.clone()).or_default().insert(place.clone(), object.clone());
        let after = Some(Arc::new(object.clone()));
        self.record(ObjectChange {
            revision: self.revision,
            resource: qualified,
            place,
            before: before.map(Arc::new),
            after,
        });
        object
    }

    /// Removes an object permanently. Returns its last state; `None` if it does not exist.
    pub(crate) fn take(&mut self, resource: &Resource, place: &str) -> Option<Value> {
        let qualified = resource.qualified();
        let object = self.objects.get_mut(&qualified)?.remove(place)?;
        self.revision += 1;
        let before = Some(Arc::new(object.clone()));
        self.record(ObjectChange {
            revision: self.revision,
            resource: qualified,
            place: place.to_owned(),
            before,
            after: None,
        });
        Some(object)
    }

    /// Appends a change to the history and wakes the watches. The oldest change is dropped if the
    /// history is full.
    fn record(&mut self, change: ObjectChange) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.bell.send_replace(change.revision);
        self.history.push_back(change);
    }

    /// Returns the number of the latest change.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// Returns true if the Cilium agent runs on a node.
    pub(crate) fn has_agent(&self, node: &str) -> bool {
        self.kubelets.get(node).is_some_and(|kubelet| kubelet.agent)
    }

    /// Returns the lowest revision that a watch can start from.
    pub(crate) fn compacted(&self) -> u64 {
        self.history.front().map_or(self.revision, |first| first.revision - 1)
    }

    /// Returns a receiver that is notified of each change.
    pub(crate) fn bell(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    /// Discards the history. Watches from earlier revisions must list the objects again.
    pub fn compact(&mut self) {
        self.history.clear();
    }

    /// Returns the objects that have an owner with `uid`.
    pub(crate) fn owned_by(&self, qualified: &str, uid: &str) -> Vec<Value> {
        let owned = |object: &&Value| {
            list_at(object, &["metadata", "ownerReferences"]).iter().any(|owner| str_at(owner, &["uid"]) == uid)
        };
        self.all(qualified).filter(owned).cloned().collect()
    }
}
