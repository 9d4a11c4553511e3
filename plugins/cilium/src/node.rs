use serde_json::{Value, json};
use stargate_sdk::{ActionContext, ActionError};

use crate::{api::Api, prefix::Prefix};

/// Cilium's own field managers. Where they own the blocks, they manage addresses, and would take them back.
const CILIUMS_OWN: [&str; 2] = ["cilium-agent", "cilium-operator"];

/// The blocks that a `CiliumNode` names.
pub(crate) fn blocks(node: &Value) -> Vec<&str> {
    let blocks = node.pointer("/spec/ipam/podCIDRs").and_then(Value::as_array);
    blocks.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Gives a `CiliumNode` its blocks, whoever has set others, unless that was Cilium.
pub(crate) async fn give(api: &Api, cx: &ActionContext, name: &str, pod_cidrs: &[Prefix]) -> Result<(), ActionError> {
    let body = json!({
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNode",
        "metadata": {"name": name},
        "spec": {"ipam": {"podCIDRs": pod_cidrs}},
    });
    let label = format!("CiliumNode {name:?}");
    // Politely first: so it is known who else has set the blocks.
    match api.apply(cx, name, &body, false).await {
        Ok(_) => Ok(()),
        Err(error) if error.owners.is_empty() => Err(error.error.context(label)),
        Err(error) if error.owners.iter().any(|owner| CILIUMS_OWN.contains(&owner.as_str())) => Err(error
            .error
            .context(label)
            .with_hint("Cilium manages the addresses of this cluster itself: it would take the blocks back at once")),
        Err(error) => {
            cx.log(format!("{label}: took the pod blocks over from {}", error.owners.join(", ")));
            api.apply(cx, name, &body, true).await.map(drop).map_err(|e| e.error.context(label))
        }
    }
}
