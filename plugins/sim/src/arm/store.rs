use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::arm::access::Access;
use crate::arm::announce::Announced;
use crate::arm::deployment::Deployment;
use crate::arm::kind::{Family, Kind};
use crate::arm::operation::Operation;

/// What Azure Resource Manager knows.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Arm {
    /// Seeds identifiers and signatures, so that a run can be repeated.
    pub seed: u64,
    /// How many times faster than the real service operations finish.
    #[serde(skip)]
    pub speed: f64,
    /// The subscription's id.
    pub subscription: String,
    /// The tenant's id.
    pub tenant: String,
    /// What the caller may do.
    pub(crate) access: Access,
    /// Limits that a test sets.
    pub(crate) quota: Quota,
    /// Tokens issued before this second are expired.
    pub(crate) tokens_expired_before: i64,
    /// By lower-case name.
    pub(crate) groups: BTreeMap<String, Group>,
    /// By lower-case id.
    pub(crate) resources: BTreeMap<String, Resource>,
    /// By operation id.
    pub(crate) operations: BTreeMap<String, Operation>,
    /// By lower-case id.
    pub(crate) deployments: BTreeMap<String, Deployment>,
    /// What the stream of events was told.
    pub(crate) announced: Announced,
    /// How the cluster is reached, once it is served.
    #[serde(skip)]
    pub(crate) cluster: Option<ClusterAccess>,
    serial: u64,
}

/// How a Kubernetes API is reached.
#[derive(Debug, Clone)]
pub(crate) struct ClusterAccess {
    pub(crate) server: String,
    /// The authority's certificate in PEM, base64.
    pub(crate) authority: String,
    pub(crate) token: String,
}

impl ClusterAccess {
    /// A kubeconfig with one context, named as AKS names it.
    pub(crate) fn kubeconfig(&self, cluster: &str, user: &str) -> String {
        let Self { server, authority, token } = self;
        let authority = match authority.as_str() {
            "" => String::new(),
            certificate => format!("    certificate-authority-data: {certificate}\n"),
        };
        format!(
            "apiVersion: v1\nclusters:\n- cluster:\n{authority}    server: {server}\n  name: {cluster}\ncontexts:\n- context:\n    \
             cluster: {cluster}\n    user: {user}\n  name: {cluster}\ncurrent-context: {cluster}\nkind: Config\npreferences: {{}}\n\
             users:\n- name: {user}\n  user:\n    token: {token}\n"
        )
    }
}

impl Default for Arm {
    fn default() -> Self {
        Self {
            seed: 0,
            speed: 1.0,
            subscription: "44654aed-2753-4b88-9142-af7132933b6b".to_owned(),
            tenant: "11111111-1111-1111-1111-111111111111".to_owned(),
            access: Access::default(),
            quota: Quota::default(),
            tokens_expired_before: 0,
            groups: BTreeMap::new(),
            resources: BTreeMap::new(),
            operations: BTreeMap::new(),
            deployments: BTreeMap::new(),
            announced: Announced::default(),
            cluster: None,
            serial: 0,
        }
    }
}

/// Limits of the subscription; none if not set.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Quota {
    /// Virtual processors of all machines in a region.
    pub(crate) cores: Option<u64>,
    /// Public addresses in a region.
    pub(crate) public_ips: Option<u64>,
    /// Routes of a table; 400 if absent.
    pub(crate) routes_per_table: Option<usize>,
    /// Sizes that the region has none of at the moment.
    pub(crate) unavailable_sizes: Vec<String>,
}

/// A resource group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) location: String,
    pub(crate) tags: Option<Value>,
    pub(crate) managed_by: Option<String>,
    /// `Succeeded` or `Deleting`.
    pub(crate) state: String,
}

/// A resource, top-level or child.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Resource {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// `location`, `tags`, `sku`, `zones`, `identity`, …
    pub(crate) top: Map<String, Value>,
    /// Settable properties, with defaults; what is computed is added when it is shown.
    pub(crate) properties: Map<String, Value>,
    /// `provisioningState`.
    pub(crate) state: String,
    pub(crate) etag: String,
    /// Counting etag of compute resources.
    pub(crate) version: u64,
    /// `resourceGuid` or `vmId`.
    pub(crate) guid: String,
    pub(crate) created: Timestamp,
    /// Order of creation: lists answer in it.
    pub(crate) order: u64,
    /// What is never shown: `customData` of a machine, the `macAddress` of a NIC without machine.
    pub(crate) hidden: Map<String, Value>,
}

impl Resource {
    pub(crate) fn key(&self) -> String {
        self.id.to_ascii_lowercase()
    }

    pub(crate) fn location(&self) -> &str {
        self.top.get("location").and_then(Value::as_str).unwrap_or_default()
    }

    /// The etag as this resource's provider shows it; `None` where the provider has none.
    pub(crate) fn shown_etag(&self) -> Option<String> {
        match self.kind.family() {
            Family::Network => Some(format!("W/\"{}\"", self.etag)),
            Family::Compute => Some(format!("\"{}\"", self.version)),
            Family::Disk | Family::Aks => None,
        }
    }

    /// Id of the resource that this one is a part of, lower-case.
    pub(crate) fn parent_key(&self) -> Option<String> {
        self.kind.is_child().then(|| parent_id(&self.id).to_ascii_lowercase())
    }

    pub(crate) fn is_settled(&self) -> bool {
        matches!(self.state.as_str(), "Succeeded" | "Failed")
    }
}

/// The id without its last type and name.
pub(crate) fn parent_id(id: &str) -> &str {
    let end = id.rfind('/').and_then(|slash| id[..slash].rfind('/')).unwrap_or(0);
    &id[..end]
}

/// The id of the top-level resource: `/subscriptions/s/resourceGroups/g/providers/ns/type/name`.
pub(crate) fn root_id(id: &str) -> &str {
    let slash = id.match_indices('/').nth(8).map_or(id.len(), |(index, _)| index);
    &id[..slash]
}

/// The name of the group that an id is in, as it is written there.
pub(crate) fn group_of(id: &str) -> &str {
    id.split('/').nth(4).unwrap_or_default()
}

/// The last segment of an id.
pub(crate) fn name_of(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or_default()
}

impl Arm {
    /// A new UUID, the same in every world with this seed and history.
    pub(crate) fn guid(&mut self) -> String {
        self.serial += 1;
        let digest =
            Sha256::new_with_prefix(self.seed.to_be_bytes()).chain_update(self.serial.to_be_bytes()).finalize();
        uuid(&digest)
    }

    /// The next place in the order of creation.
    pub(crate) fn next_order(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub(crate) fn find(&self, id: &str) -> Option<&Resource> {
        self.resources.get(&id.to_ascii_lowercase())
    }

    pub(crate) fn find_mut(&mut self, id: &str) -> Option<&mut Resource> {
        self.resources.get_mut(&id.to_ascii_lowercase())
    }

    /// The resource with this id, if it is of this kind.
    pub(crate) fn find_kind(&self, id: &str, kind: Kind) -> Option<&Resource> {
        self.find(id).filter(|resource| resource.kind == kind)
    }

    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Resource> {
        self.resources.values().filter(move |resource| resource.kind == kind)
    }

    /// Resources of `kind` below the id `parent`, in order of creation.
    pub(crate) fn below(&self, parent: &str, kind: Kind) -> Vec<&Resource> {
        let prefix = format!("{}/", parent.to_ascii_lowercase());
        let range = self.resources.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
        let mut found: Vec<&Resource> =
            range.map(|(_, resource)| resource).filter(|resource| resource.kind == kind).collect();
        found.sort_by_key(|resource| resource.order);
        found
    }

    /// Gives the resource and whatever contains it a new etag.
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

    /// Puts a resource in place of whatever had its id.
    pub(crate) fn insert(&mut self, resource: Resource) {
        self.resources.insert(resource.key(), resource);
    }

    /// Makes a resource that is not stored yet.
    pub(crate) fn fresh(&mut self, id: String, kind: Kind, now: Timestamp) -> Resource {
        Resource {
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

/// Formats the first 16 bytes as a version 4 UUID.
pub(crate) fn uuid(bytes: &[u8]) -> String {
    let mut hex: String = bytes.iter().take(16).fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    hex.replace_range(12..13, "4");
    hex.replace_range(16..17, "a");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
