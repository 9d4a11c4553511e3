use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::arm::store::resource_type::{Family, ResourceType};

/// A resource, top-level or child.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredResource {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) kind: ResourceType,
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

impl StoredResource {
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
