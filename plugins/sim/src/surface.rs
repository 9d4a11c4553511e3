use serde::{Deserialize, Serialize};

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Surface {
    /// Azure Resource Manager.
    Arm,
    /// Entra ID, the instance metadata service and the cloud's description.
    Login,
    /// The Tailscale API.
    Tailscale,
    /// A simulated host.
    Host,
    /// The Kubernetes API. What kubelets and controllers write does not count as changing something.
    Kubernetes,
}
