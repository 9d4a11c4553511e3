use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::arm::store::resource_type::{ArmResourceType, Family};

/// Stored resource, top-level or child.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredResource {
    /// Id with names as they were first written.
    pub(crate) id: String,
    /// Name, the last segment of the id except for scale set instances.
    pub(crate) name: String,
    pub(crate) kind: ArmResourceType,
    /// Top-level members: `location`, `tags`, `sku`, `zones`, `identity`, …
    pub(crate) top: Map<String, Value>,
    /// Settable properties with their defaults. Computed ones are added when the resource is shown.
    pub(crate) properties: Map<String, Value>,
    /// Value of `provisioningState`.
    pub(crate) state: String,
    /// UUID that changes with every write of the resource or of a part of it.
    pub(crate) etag: String,
    /// Counting etag of compute resources, from 1.
    pub(crate) version: u64,
    /// Value of `resourceGuid` or `vmId`.
    pub(crate) guid: String,
    pub(crate) created: Timestamp,
    /// Number in the order of creation: lists are sorted by it.
    pub(crate) order: u64,
    /// Values that are stored and never shown: `customData` and power of a machine, the MAC address
    /// of a NIC, the address of a public IP.
    pub(crate) hidden: Map<String, Value>,
}

impl StoredResource {
    /// Returns the key of the resource in the store: its id in lower case.
    pub(crate) fn key(&self) -> String {
        self.id.to_ascii_lowercase()
    }

    /// Returns the location, or the empty text for children.
    pub(crate) fn location(&self) -> &str {
        self.top.get("location").and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns the etag as this resource's provider shows it, or `None` if the provider has none.
    pub(crate) fn shown_etag(&self) -> Option<String> {
        match self.kind.family() {
            Family::Network => Some(format!("W/\"{}\"", self.etag)),
            Family::Compute => Some(format!("\"{}\"", self.version)),
            Family::Disk | Family::Aks => None,
        }
    }

    /// Returns the lower-case id of the parent, or `None` for a top-level resource.
    pub(crate) fn parent_key(&self) -> Option<String> {
        self.kind.is_child().then(|| parent_id(&self.id).to_ascii_lowercase())
    }

    /// True if no operation is changing the resource.
    pub(crate) fn is_settled(&self) -> bool {
        matches!(self.state.as_str(), "Succeeded" | "Failed")
    }
}

/// Returns the id without its last type and name.
pub(crate) fn parent_id(id: &str) -> &str {
    let end = id.rfind('/').and_then(|slash| id[..slash].rfind('/')).unwrap_or(0);
    &id[..end]
}

/// Returns the id of the top-level resource:
/// `/subscriptions/s/resourceGroups/g/providers/ns/type/name`.
pub(crate) fn root_id(id: &str) -> &str {
    let slash = id.match_indices('/').nth(8).map_or(id.len(), |(index, _)| index);
    &id[..slash]
}

/// Returns the name of the group in an id, as it is written there.
pub(crate) fn group_of(id: &str) -> &str {
    id.split('/').nth(4).unwrap_or_default()
}

/// Returns the last segment of an id.
pub(crate) fn name_of(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or_default()
}
