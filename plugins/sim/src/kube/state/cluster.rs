use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::authority::Authority;
use super::kubelet::Kubelet;
use crate::kube::json::{list_at, name_of, namespace_of, set, str_at};
use crate::kube::resource::{self, Resource};

/// Changes that a watch can still be given: more than that ago is `410 Gone`.
const HISTORY: usize = 10_000;

/// A cluster: its objects, and what its control plane knows besides.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Kube {
    /// Number of the latest change.
    pub(crate) revision: u64,
    /// By resource, then by namespace and name.
    pub(crate) objects: BTreeMap<String, BTreeMap<String, Value>>,
    /// The token of a user in `system:masters`.
    pub(crate) admin_token: String,
    /// What tokens of service accounts are signed with.
    pub(crate) signing_key: String,
    /// The kubelets that have registered, by node.
    pub(crate) kubelets: BTreeMap<String, Kubelet>,
    /// Where the server is; empty until it serves.
    pub(crate) url: String,
    /// Where else clients have found it, as through a proxy.
    #[serde(skip)]
    pub(crate) reached_at: BTreeSet<String>,
    #[serde(skip)]
    pub(crate) authority: Option<Authority>,
    #[serde(skip)]
    pub(crate) history: VecDeque<ObjectChange>,
    #[serde(skip)]
    bell: watch::Sender<u64>,
}

/// A change of one object.
#[derive(Debug, Clone)]
pub(crate) struct ObjectChange {
    pub(crate) revision: u64,
    pub(crate) resource: String,
    pub(crate) place: String,
    pub(crate) before: Option<Arc<Value>>,
    pub(crate) after: Option<Arc<Value>>,
}

impl Kube {
    /// Notes the `Host` by which a client has found the server.
    pub(crate) fn found_at(&mut self, host: &str) {
        let url = format!("https://{host}");
        if !host.is_empty() && url != self.url {
            self.reached_at.insert(url);
        }
    }

    /// Whether the server answers at an address, a URL without a path.
    pub(crate) fn is_at(&self, url: &str) -> bool {
        !self.url.is_empty() && (url == self.url || self.reached_at.contains(url))
    }

    /// The object at a place of a resource.
    pub(crate) fn object(&self, resource: &Resource, place: &str) -> Option<&Value> {
        self.objects.get(&resource.qualified())?.get(place)
    }

    /// All objects of a built-in resource, or of a custom one named `plural.group`.
    pub(crate) fn all<'a>(&'a self, qualified: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
        self.objects.get(qualified).into_iter().flat_map(BTreeMap::values)
    }

    /// An object of a cluster-wide resource.
    pub(crate) fn named<'a>(&'a self, qualified: &str, name: &str) -> Option<&'a Value> {
        self.objects.get(qualified)?.get(name)
    }

    /// Every resource that is served.
    pub(crate) fn resources(&self) -> Vec<Resource> {
        let definitions = self.all("customresourcedefinitions.apiextensions.k8s.io");
        resource::built_in().into_iter().chain(definitions.flat_map(resource::of_definition)).collect()
    }

    /// The resource that a path names.
    pub(crate) fn resource(&self, group: &str, version: &str, plural: &str) -> Option<Resource> {
        if let Some(found) = resource::find_built_in(group, plural) {
            return (found.version == version).then_some(found);
        }
        let definition = self.named("customresourcedefinitions.apiextensions.k8s.io", &format!("{plural}.{group}"))?;
        resource::of_definition(definition).into_iter().find(|each| each.version == version)
    }

    /// Stores an object, new or changed, under the next revision, and gives it as it is then.
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

    /// Removes an object for good, and gives it as it was last.
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

    fn record(&mut self, change: ObjectChange) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.bell.send_replace(change.revision);
        self.history.push_back(change);
    }

    /// Number of the latest change.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether the Cilium agent runs on a node.
    pub(crate) fn has_agent(&self, node: &str) -> bool {
        self.kubelets.get(node).is_some_and(|kubelet| kubelet.agent)
    }

    /// The latest revision that is no longer known how it came about.
    pub(crate) fn compacted(&self) -> u64 {
        self.history.front().map_or(self.revision, |first| first.revision - 1)
    }

    /// Rings for every change.
    pub(crate) fn bell(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    /// Forgets how the objects came to be: who watches from an earlier revision is told to list
    /// again.
    pub fn compact(&mut self) {
        self.history.clear();
    }

    /// The objects that name `uid` as an owner.
    pub(crate) fn owned_by(&self, qualified: &str, uid: &str) -> Vec<Value> {
        let owned = |object: &&Value| {
            list_at(object, &["metadata", "ownerReferences"]).iter().any(|owner| str_at(owner, &["uid"]) == uid)
        };
        self.all(qualified).filter(owned).cloned().collect()
    }
}
