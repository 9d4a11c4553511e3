use stargate_sdk::Permission;

/// Authority that grants the permissions of [`permission`].
pub const AUTHORITY: &str = "kubernetes";

/// A permission of the Kubernetes API, in the words of `kubectl auth can-i`.
///
/// The forms are `patch nodes`, `create pods --subresource=eviction`, `get configmaps -n
/// kube-system` and `approve signers.certificates.k8s.io/NAME`.
pub const fn permission(question: &'static str) -> Permission {
    Permission::new(AUTHORITY, question)
}
