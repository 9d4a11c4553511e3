use serde::{Deserialize, Serialize};

use crate::kube::KubeletKeys;

/// State of a machine's kubelet that is not stored in its files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KubeletProcess {
    /// Certificates of the kubelet, and its open certificate requests.
    pub(in crate::host) keys: KubeletKeys,
    /// Name of the node that the kubelet has registered.
    pub(in crate::host) node: Option<String>,
    /// Last message of the kubelet, which `journalctl` prints.
    pub said: String,
}
