use std::path::PathBuf;

/// Name of the target of all actions that call the cluster.
pub const CLUSTER_TARGET: &str = "kubernetes";

/// Cluster to connect to, and the account to use.
#[derive(Debug, Clone, Default)]
pub struct KubeconfigSettings {
    /// Path of the kubeconfig. `None` for the files in `KUBECONFIG`, else `~/.kube/config`, else
    /// the service account of the pod that the program runs in.
    pub kubeconfig: Option<PathBuf>,
    /// Name of a context in the kubeconfig; `None` for its current one.
    pub context: Option<String>,
}
