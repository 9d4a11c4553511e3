use serde::{Deserialize, Serialize};

use crate::kube::KubeletKeys;

/// What is known of a machine's kubelet beside its files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KubeletProcess {
    /// Its certificates, and the requests that it waits for.
    pub(super) keys: KubeletKeys,
    /// The node that it has registered.
    pub(super) node: Option<String>,
    /// The last thing that it said.
    pub said: String,
}
