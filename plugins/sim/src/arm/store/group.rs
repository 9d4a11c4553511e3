use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A resource group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StoredGroup {
    pub(crate) name: String,
    pub(crate) location: String,
    pub(crate) tags: Option<Value>,
    pub(crate) managed_by: Option<String>,
    /// `Succeeded` or `Deleting`.
    pub(crate) state: String,
}
