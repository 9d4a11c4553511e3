use serde_json::{Value, json};
use stargate_client::Prefix;
use stargate_kubernetes_client::{CILIUM_NODES, KubeClient, ObjectName, json::texts};
use stargate_sdk::{ActionContext, ActionError};

/// Field managers of Cilium itself. If one of them owns the pod CIDRs, Cilium manages the addresses
/// and would revert a change.
const CILIUM_MANAGERS: [&str; 2] = ["cilium-agent", "cilium-operator"];

/// The pod CIDRs of a `CiliumNode`, in its order.
pub(crate) fn pod_cidrs(node: &Value) -> Vec<&str> {
    texts(node, "/spec/ipam/podCIDRs").collect()
}

/// Applies the pod CIDRs to the `CiliumNode` of a node, and takes the field from other managers.
///
/// # Errors
/// `Permanent` if Cilium itself owns the field; then nothing was written.
pub(crate) async fn apply_pod_cidrs(
    client: &KubeClient,
    cx: &ActionContext,
    node: &str,
    pod_cidrs: &[Prefix],
) -> Result<(), ActionError> {
    let body = json!({
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNode",
        "metadata": {"name": node},
        "spec": {"ipam": {"podCIDRs": pod_cidrs}},
    });
    let (label, object) = (format!("CiliumNode {node:?}"), ObjectName::cluster(node)?);
    // Without force first: the conflict names the owners.
    let Err(error) = client.apply(cx, &CILIUM_NODES, object, body.clone(), false).await else { return Ok(()) };
    let owners: Vec<String> = error.conflicts().into_iter().map(|conflict| conflict.manager).collect();
    if owners.is_empty() {
        return Err(error.error.context(label));
    }
    if owners.iter().any(|owner| CILIUM_MANAGERS.contains(&owner.as_str())) {
        return Err(error
            .error
            .context(label)
            .with_hint("Cilium manages the addresses of this cluster itself and would revert the change"));
    }
    cx.log(format!("{label}: took the pod CIDRs over from {}", owners.join(", ")));
    let applied = client.apply(cx, &CILIUM_NODES, object, body, true).await;
    applied.map(drop).map_err(|e| e.error.context(label))
}
