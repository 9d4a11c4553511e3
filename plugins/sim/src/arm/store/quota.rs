use serde::{Deserialize, Serialize};

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
