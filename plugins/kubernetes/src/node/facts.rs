use std::{collections::BTreeMap, net::Ipv4Addr};

use serde_json::Value;
use stargate_kubernetes_client::json::{condition, list, text, text_or_empty, texts};
use stargate_sdk::ActionError;

/// Label with the value `false` on nodes that AKS must not manage.
const MANAGED: &str = "/metadata/labels/kubernetes.azure.com~1managed";
/// Label with the value `true` on nodes that have joined from a datacenter.
const STARGATE: &str = "/metadata/labels/kubernetes.azure.com~1stargate";

/// True if the node reports that it is ready.
pub(crate) fn is_ready(node: &Value) -> bool {
    condition(node, "Ready").is_some_and(|ready| ready["status"] == "True")
}

/// Annotation of a node that this program has cordoned, with the run that did it. A cordon without
/// it is that of another party.
pub(crate) const CORDONED_BY: &str = "stargate.io/cordoned-by";

/// Annotation of a node with the configuration that the last complete repave gave it. A repave
/// removes it before it changes the host.
const CONFIGURATION: &str = "stargate.io/configuration";

/// State of a kubelet that its node shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KubeletHealth {
    /// The kubelet reports, and the node is ready.
    Ready,
    /// The kubelet reports that the node is not ready, or has not reported yet.
    NotReady,
    /// The kubelet has stopped reporting for longer than the grace period of the node controller
    /// (40 s by default): its pods cannot end.
    Silent,
}

/// State of the node's kubelet, from the condition `Ready`.
pub(crate) fn kubelet_health(node: &Value) -> KubeletHealth {
    match condition(node, "Ready").and_then(|ready| text(ready, "/status")) {
        Some("Unknown") => KubeletHealth::Silent,
        Some("False") => KubeletHealth::NotReady,
        _ => KubeletHealth::Ready,
    }
}

/// Run that has cordoned the node, if this program has.
pub(crate) fn cordoned_by(node: &Value) -> Option<&str> {
    node["metadata"]["annotations"][CORDONED_BY].as_str()
}

/// True if the node has the configuration of a complete repave.
pub(crate) fn has_configuration(node: &Value) -> bool {
    node["metadata"]["annotations"][CONFIGURATION].is_string()
}

/// True if no new pods are scheduled on the node.
pub(crate) fn is_cordoned(node: &Value) -> bool {
    node["spec"]["unschedulable"] == true
}

/// `Permanent` error about a node that does not exist.
pub(crate) fn missing_node_error(name: &str) -> ActionError {
    ActionError::permanent(format!("node {name:?}: not found"))
        .with_hint("set `if_exists: true` if the node may be missing")
}

/// Reason for which a node is not ready, as its kubelet reports it.
pub(crate) fn not_ready_reason(node: &Value) -> String {
    condition(node, "Ready").map_or("it has not reported yet".into(), |ready| text_or_empty(ready, "/message"))
}

/// Time of the last change of the condition `Ready`, as RFC 3339.
pub(crate) fn ready_since(node: &Value) -> Option<&str> {
    condition(node, "Ready").and_then(|ready| text(ready, "/lastTransitionTime"))
}

/// First internal address of IPv4 of the node; empty if it has none.
pub(crate) fn internal_ip(node: &Value) -> String {
    let internal = list(node, "/status/addresses").filter(|address| address["type"] == "InternalIP");
    let mut addresses = internal.map(|address| text_or_empty(address, "/address"));
    addresses.find(|address| address.parse::<Ipv4Addr>().is_ok()).unwrap_or_default()
}

/// Version of the node's kubelet, such as `v1.33.5`; empty if it has not reported yet.
pub(crate) fn kubelet_version(node: &Value) -> String {
    text_or_empty(node, "/status/nodeInfo/kubeletVersion")
}

/// True if AKS manages the node; false if it has joined from a datacenter.
pub(crate) fn is_managed(node: &Value) -> bool {
    text(node, MANAGED) != Some("false") && text(node, STARGATE) != Some("true")
}

/// Labels of the node.
pub(crate) fn labels(node: &Value) -> BTreeMap<String, String> {
    let labels = node.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
    labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// Pod CIDR that Azure's address management assigned to the node.
///
/// In overlay mode `primaryIP` is the pod CIDR. In other modes it is a single address: `None`.
pub(crate) fn pod_cidr_of_network_config(config: &Value) -> Option<String> {
    let mut addresses = list(config, "/status/networkContainers").filter_map(|container| text(container, "/primaryIP"));
    let prefix = addresses.find_map(|address| address.parse::<ipnet::IpNet>().ok())?;
    (prefix.prefix_len() < prefix.max_prefix_len()).then(|| prefix.trunc().to_string())
}

/// Pod CIDR in the spec of the node.
pub(crate) fn pod_cidr_of_node(node: &Value) -> Option<String> {
    text(node, "/spec/podCIDR").filter(|prefix| !prefix.is_empty()).map(str::to_owned)
}

/// First pod CIDR of a `CiliumNode`.
pub(crate) fn pod_cidr_of_cilium_node(node: &Value) -> Option<String> {
    texts(node, "/spec/ipam/podCIDRs").next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_internal_address_is_one_of_ipv4() {
        let node = |addresses: &[(&str, &str)]| {
            let addresses = addresses.iter().map(|(kind, address)| json!({"type": kind, "address": address}));
            json!({"status": {"addresses": addresses.collect::<Vec<_>>()}})
        };
        let of = |addresses: &[(&str, &str)]| internal_ip(&node(addresses));
        assert_eq!(of(&[("Hostname", "10.0.0.1"), ("InternalIP", "fd00::4"), ("InternalIP", "10.0.0.4")]), "10.0.0.4");
        assert_eq!(of(&[("ExternalIP", "20.0.0.4"), ("InternalIP", "fd00::4")]), "");
        assert_eq!(internal_ip(&json!({})), "");
    }

    #[test]
    fn a_pod_cidr_is_distinguished_from_a_single_address() {
        let config = |address: &str| json!({"status": {"networkContainers": [{"primaryIP": address}]}});
        assert_eq!(pod_cidr_of_network_config(&config("10.244.1.0/24")).as_deref(), Some("10.244.1.0/24"));
        assert_eq!(pod_cidr_of_network_config(&config("10.224.0.9")), None);
        assert_eq!(pod_cidr_of_network_config(&config("10.224.0.9/32")), None);
        assert_eq!(pod_cidr_of_network_config(&json!({})), None);
    }
}
