use serde::{Deserialize, Serialize};

/// Limits of the subscription. An absent limit is not enforced.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Quota {
    /// Maximum number of virtual processors of all machines in a region.
    pub(crate) cores: Option<u64>,
    /// Maximum number of public addresses in a region.
    pub(crate) public_ips: Option<u64>,
    /// Maximum number of routes in a table; 400 if absent.
    pub(crate) routes_per_table: Option<usize>,
    /// Sizes that the region has no capacity for at present.
    pub(crate) unavailable_sizes: Vec<String>,
}
