use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kube::effect::{Effect, FieldEdit};
use crate::kube::json::{at, holds, list_at, name_of, namespace_of, str_at, uid_of};
use crate::kube::state::{Kube, Kubelet};

/// Name of the Cilium agent in managed fields.
const AGENT: &str = "cilium-agent";

/// Label of the nodes that run the agent.
const LABEL: &str = "kubernetes.azure.com/ebpf-dataplane";

/// Returns the nodes on which the Cilium agent has not started yet.
///
/// The agent writes the `CiliumNode` of its node only when it starts. A `CiliumNode` that is
/// deleted later is absent until the next start of the agent, as was observed on AKS.
pub(super) fn nodes_without_agent(kube: &Kube, _: Timestamp) -> Vec<Value> {
    if kube.resource("cilium.io", "v2", "ciliumnodes").is_none() {
        return Vec::new();
    }
    kube.all("nodes")
        .filter(|node| at(node, &["metadata", "labels", LABEL]) == Some(&json!("cilium")))
        .filter(|node| kube.kubelets.get(name_of(node)).is_some_and(|kubelet| kubelet.running && !kubelet.agent))
        .cloned()
        .collect()
}

/// Starts the agent of a node, which creates or updates the `CiliumNode` with the labels, addresses
/// and boot identifier of the node.
pub(super) fn start(kube: &Kube, node: &Value, _: Timestamp) -> Vec<Effect> {
    let Some(nodes) = kube.resource("cilium.io", "v2", "ciliumnodes") else { return Vec::new() };
    let Some(kubelet) = kube.kubelets.get(name_of(node)) else { return Vec::new() };
    let kubelet = Kubelet { agent: true, ..kubelet.clone() };
    let internal =
        list_at(node, &["status", "addresses"]).iter().find(|address| str_at(address, &["type"]) == "InternalIP");
    let address = internal.map(|address| str_at(address, &["address"])).unwrap_or_default();
    let addresses =
        json!([{ "type": "InternalIP", "ip": address }, { "type": "CiliumInternalIP", "ip": "169.254.23.0" }]);
    let owner = json!([{ "apiVersion": "v1", "kind": "Node", "name": name_of(node), "uid": uid_of(node) }]);
    let labels = at(node, &["metadata", "labels"]).cloned().unwrap_or_default();
    let boot = at(node, &["status", "nodeInfo", "bootID"]).cloned().unwrap_or_default();
    let fresh = json!({
        "metadata": { "name": name_of(node) },
        "spec": { "alibaba-cloud": {}, "azure": {}, "encryption": {}, "eni": {}, "health": {}, "ingress": {}, "ipam": { "pools": {} } },
    });
    vec![
        Effect::SetKubelet { node: name_of(node).to_owned(), kubelet: Some(kubelet) },
        Effect::Add { resource: nodes.clone(), object: fresh, manager: AGENT },
        Effect::Edit {
            resource: nodes,
            key: name_of(node).to_owned(),
            manager: AGENT.to_owned(),
            fields: vec![
                FieldEdit::set(&["metadata", "labels"], labels),
                FieldEdit::set(&["metadata", "ownerReferences"], owner),
                FieldEdit::set(&["spec", "addresses"], addresses),
                FieldEdit::set(&["spec", "bootid"], boot),
            ],
        },
    ]
}

/// Returns the ready pods with an address of their own that have no `CiliumEndpoint`.
///
/// Pods on the host network have none, as in Cilium.
pub(super) fn pods_without_endpoint(kube: &Kube, _: Timestamp) -> Vec<Value> {
    let Some(endpoints) = kube.resource("cilium.io", "v2", "ciliumendpoints") else { return Vec::new() };
    let has_agent =
        |pod: &&Value| kube.kubelets.get(str_at(pod, &["spec", "nodeName"])).is_some_and(|kubelet| kubelet.agent);
    let has_own_address = |pod: &&Value| holds(pod, "Ready") && at(pod, &["spec", "hostNetwork"]) != Some(&json!(true));
    let is_missing =
        |pod: &&Value| kube.object(&endpoints, &endpoints.place(namespace_of(pod), name_of(pod))).is_none();
    kube.all("pods").filter(has_own_address).filter(has_agent).filter(is_missing).cloned().collect()
}

/// Creates the `CiliumEndpoint` of a pod, with the pod as its owner.
pub(super) fn describe_pod(kube: &Kube, pod: &Value, _: Timestamp) -> Vec<Effect> {
    let Some(endpoints) = kube.resource("cilium.io", "v2", "ciliumendpoints") else { return Vec::new() };
    let endpoint = json!({
        "metadata": {
            "name": name_of(pod),
            "namespace": namespace_of(pod),
            "labels": at(pod, &["metadata", "labels"]).cloned().unwrap_or_else(|| json!({})),
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Pod", "name": name_of(pod), "uid": uid_of(pod) }],
        },
        "status": {
            "encryption": {},
            "external-identifiers": {
                "k8s-namespace": namespace_of(pod),
                "k8s-pod-name": name_of(pod),
                "pod-name": format!("{}/{}", namespace_of(pod), name_of(pod)),
            },
            "networking": { "addressing": [{ "ipv4": str_at(pod, &["status", "podIP"]) }], "node": str_at(pod, &["status", "hostIP"]) },
            "state": "ready",
        },
    });
    vec![Effect::Add { resource: endpoints, object: endpoint, manager: AGENT }]
}
