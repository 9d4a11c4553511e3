use serde::{Deserialize, Serialize};

/// Part of the world that a request goes to.
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
    /// The Kubernetes API. Writes of kubelets and controllers do not count as changing something.
    Kubernetes,
}
