use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::arm::store::access::GrantedAccess;
use crate::arm::store::cluster_access::ClusterAccess;
use crate::arm::store::deployment::StoredDeployment;
use crate::arm::store::group::StoredGroup;
use crate::arm::store::operation::StoredOperation;
use crate::arm::store::published::PublishedState;
use crate::arm::store::quota::Quota;
use crate::arm::store::resource::{StoredResource, name_of};
use crate::arm::store::resource_type::ArmResourceType;
use crate::arm::store::uuid::uuid;

/// State of the simulated Azure Resource Manager.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Arm {
    /// Seed of identifiers and signatures, so that a run can be repeated.
    pub seed: u64,
    /// Factor by which operations are faster than in the real service.
    #[serde(skip)]
    pub speed: f64,
    /// Id of the subscription.
    pub subscription: String,
    /// Id of the tenant.
    pub tenant: String,
    /// Operations that the caller may perform.
    pub(crate) access: GrantedAccess,
    /// Limits that a test has set.
    pub(crate) quota: Quota,
    /// Tokens issued before this time are expired, in seconds since the Unix epoch.
    pub(crate) tokens_expired_before: i64,
    /// Groups by lower-case name.
    pub(crate) groups: BTreeMap<String, StoredGroup>,
    /// Resources by lower-case id.
    pub(crate) resources: BTreeMap<String, StoredResource>,
    /// Operations by id.
    pub(crate) operations: BTreeMap<String, StoredOperation>,
    /// Deployments by lower-case id.
    pub(crate) deployments: BTreeMap<String, StoredDeployment>,
    /// State of the resources that the stream of events has published.
    #[serde(rename = "announced")]
    pub(crate) published: PublishedState,
    /// Access to the cluster's Kubernetes API; `None` if it is not served.
    #[serde(skip)]
    pub(crate) cluster: Option<ClusterAccess>,
    /// Number of identifiers drawn so far.
    serial: u64,
}

impl Default for Arm {
    fn default() -> Self {
        Self {
            seed: 0,
            speed: 1.0,
            subscription: "44654aed-2753-4b88-9142-af7132933b6b".to_owned(),
            tenant: "11111111-1111-1111-1111-111111111111".to_owned(),
            access: GrantedAccess::default(),
            quota: Quota::default(),
            tokens_expired_before: 0,
            groups: BTreeMap::new(),
            resources: BTreeMap::new(),
            operations: BTreeMap::new(),
            deployments: BTreeMap::new(),
            published: PublishedState::default(),
            cluster: None,
            serial: 0,
        }
    }
}

impl Arm {
    /// Returns a new UUID, the same in every world with this seed and history.
    pub(crate) fn guid(&mut self) -> String {
        self.serial += 1;
        let digest =
            Sha256::new_with_prefix(self.seed.to_be_bytes()).chain_update(self.serial.to_be_bytes()).finalize();
        uuid(&digest)
    }

    /// Returns the next number in the order of creation.
    pub(crate) fn next_order(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Returns the resource with this id, compared without case.
    pub(crate) fn find(&self, id: &str) -> Option<&StoredResource> {
        self.resources.get(&id.to_ascii_lowercase())
    }

    /// Returns the resource with this id for a change.
    pub(crate) fn find_mut(&mut self, id: &str) -> Option<&mut StoredResource> {
        self.resources.get_mut(&id.to_ascii_lowercase())
    }

    /// Returns the resource with this id if it is of this type.
    pub(crate) fn find_kind(&self, id: &str, kind: ArmResourceType) -> Option<&StoredResource> {
        self.find(id).filter(|resource| resource.kind == kind)
    }

    /// Returns all resources of a type, ordered by lower-case id.
    pub(crate) fn of_kind(&self, kind: ArmResourceType) -> impl Iterator<Item = &StoredResource> {
        self.resources.values().filter(move |resource| resource.kind == kind)
    }

    /// Returns the resources of a type below the id `parent`, in order of creation.
    pub(crate) fn below(&self, parent: &str, kind: ArmResourceType) -> Vec<&StoredResource> {
        let prefix = format!("{}/", parent.to_ascii_lowercase());
        let range = self.resources.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
        let mut found: Vec<&StoredResource> =
            range.map(|(_, resource)| resource).filter(|resource| resource.kind == kind).collect();
        found.sort_by_key(|resource| resource.order);
        found
    }

    /// Gives a new etag to the resource and to each resource that contains it.
    pub(crate) fn touch(&mut self, id: &str) {
        let mut next = Some(id.to_ascii_lowercase());
        while let Some(key) = next {
            let etag = self.guid();
            next = self.resources.get_mut(&key).and_then(|resource| {
                resource.etag = etag;
                resource.parent_key()
            });
        }
    }

    /// Stores a resource and replaces one with the same id.
    pub(crate) fn insert(&mut self, resource: StoredResource) {
        self.resources.insert(resource.key(), resource);
    }

    /// Creates a group, or replaces the tags of an existing one, which keeps its name, location and
    /// manager.
    pub(crate) fn put_group(&mut self, name: &str, location: &str, tags: Option<Value>, managed_by: Option<String>) {
        let group = self.groups.entry(name.to_ascii_lowercase()).or_insert_with(|| StoredGroup {
            name: name.to_owned(),
            location: location.to_owned(),
            tags: None,
            managed_by,
            state: "Succeeded".to_owned(),
        });
        group.tags = tags;
    }

    /// Returns a new resource, not stored yet, with identifiers of its own.
    pub(crate) fn fresh(&mut self, id: String, kind: ArmResourceType, now: Timestamp) -> StoredResource {
        StoredResource {
            name: name_of(&id).to_owned(),
            id,
            kind,
            top: Map::new(),
            properties: Map::new(),
            state: "Succeeded".to_owned(),
            etag: self.guid(),
            version: 1,
            guid: self.guid(),
            created: now,
            order: self.next_order(),
            hidden: Map::new(),
        }
    }
}
