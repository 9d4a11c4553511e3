use std::collections::BTreeMap;

use serde_json::Value;

use crate::field::{condition, list, owned, text, texts};

/// Nodes of ours register with this, so that AKS leaves them alone.
const MANAGED: &str = "/metadata/labels/kubernetes.azure.com~1managed";
const STARGATE: &str = "/metadata/labels/kubernetes.azure.com~1stargate";

/// Whether the Node says that it is ready.
pub(crate) fn is_ready(node: &Value) -> bool {
    condition(node, "Ready").is_some_and(|ready| ready["status"] == "True")
}

/// Why it is not.
pub(crate) fn why_not_ready(node: &Value) -> String {
    condition(node, "Ready").map_or("it has not reported yet".into(), |ready| owned(ready, "/message"))
}

/// The address that the kubelet was told to use.
pub(crate) fn internal_ip(node: &Value) -> String {
    let mut internal = list(node, "/status/addresses").filter(|address| address["type"] == "InternalIP");
    internal.next().map(|address| owned(address, "/address")).unwrap_or_default()
}

/// The kubelet's version, such as `v1.33.5`.
pub(crate) fn kubelet_version(node: &Value) -> String {
    owned(node, "/status/nodeInfo/kubeletVersion")
}

/// Whether the cluster's provider manages the node: false for what joined from elsewhere.
pub(crate) fn is_managed(node: &Value) -> bool {
    text(node, MANAGED) != Some("false") && text(node, STARGATE) != Some("true")
}

/// The node's labels.
pub(crate) fn labels(node: &Value) -> BTreeMap<String, String> {
    let labels = node.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
    labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// The block that Azure's own address management gave the node.
///
/// In overlay mode `primaryIP` is that block; in other modes it is one address, which is no block.
pub(crate) fn block_of_network_config(config: &Value) -> Option<String> {
    let mut addresses = list(config, "/status/networkContainers").filter_map(|container| text(container, "/primaryIP"));
    let block = addresses.find_map(|address| address.parse::<ipnet::IpNet>().ok())?;
    (block.prefix_len() < block.max_prefix_len()).then(|| block.trunc().to_string())
}

/// The block in the Node's own spec.
pub(crate) fn block_of_node(node: &Value) -> Option<String> {
    text(node, "/spec/podCIDR").filter(|block| !block.is_empty()).map(str::to_owned)
}

/// The first block in a `CiliumNode`.
pub(crate) fn block_of_cilium_node(node: &Value) -> Option<String> {
    texts(node, "/spec/ipam/podCIDRs").next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_block_is_told_from_a_single_address() {
        let config = |address: &str| json!({"status": {"networkContainers": [{"primaryIP": address}]}});
        assert_eq!(block_of_network_config(&config("10.244.1.0/24")).as_deref(), Some("10.244.1.0/24"));
        assert_eq!(block_of_network_config(&config("10.224.0.9")), None);
        assert_eq!(block_of_network_config(&config("10.224.0.9/32")), None);
        assert_eq!(block_of_network_config(&json!({})), None);
    }
}
