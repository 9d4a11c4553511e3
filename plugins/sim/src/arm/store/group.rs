use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Stored resource group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StoredGroup {
    /// Name as it was first written.
    pub(crate) name: String,
    pub(crate) location: String,
    pub(crate) tags: Option<Value>,
    /// Id of the resource that manages the group; `None` for a group of the user.
    pub(crate) managed_by: Option<String>,
    /// Provisioning state: `Succeeded` or `Deleting`.
    pub(crate) state: String,
}
