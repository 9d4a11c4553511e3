use std::path::PathBuf;

/// Which cluster, and as whom.
#[derive(Debug, Clone, Default)]
pub struct KubernetesSettings {
    /// The kubeconfig file; `None` for what `KUBECONFIG`, `~/.kube/config` or the pod's own account say.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it; `None` for its current one.
    pub context: Option<String>,
}
