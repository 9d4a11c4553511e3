use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kube::json::{at, holds, list_at, name_of, namespace_of, set, str_at, uid_of};
use crate::kube::resource::Resource;
use crate::kube::state::Kube;

/// What the agent calls itself in managed fields.
const AGENT: &str = "cilium-agent";

/// Nodes with this label get the agent.
const LABEL: &str = "kubernetes.azure.com/ebpf-dataplane";

/// The Cilium agents: each describes its node once when it starts, and then the endpoints of its pods.
///
/// A `CiliumNode` that is deleted later comes back when the agent next starts, as it was seen to.
pub(super) fn act(kube: &mut Kube, now: Timestamp) {
    let Some(nodes) = kube.resource("cilium.io", "v2", "ciliumnodes") else { return };
    let wanted: Vec<Value> = kube
        .all("nodes")
        .filter(|node| at(node, &["metadata", "labels", LABEL]) == Some(&json!("cilium")))
        .filter(|node| kube.kubelets.get(name_of(node)).is_some_and(|kubelet| kubelet.running && !kubelet.agent))
        .cloned()
        .collect();
    for node in wanted {
        start(kube, &nodes, &node, now);
    }
    if let Some(endpoints) = kube.resource("cilium.io", "v2", "ciliumendpoints") {
        describe_pods(kube, &endpoints, now);
    }
}

fn start(kube: &mut Kube, nodes: &Resource, node: &Value, now: Timestamp) {
    if let Some(kubelet) = kube.kubelets.get_mut(name_of(node)) {
        kubelet.agent = true;
    }
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
    kube.add(nodes, fresh, (AGENT, now));
    kube.edit(nodes, name_of(node), (AGENT, now), |held| {
        set(held, &["metadata", "labels"], labels);
        set(held, &["metadata", "ownerReferences"], owner);
        set(held, &["spec", "addresses"], addresses);
        set(held, &["spec", "bootid"], boot);
    });
}

fn describe_pods(kube: &mut Kube, endpoints: &Resource, now: Timestamp) {
    let on_agent =
        |pod: &&Value| kube.kubelets.get(str_at(pod, &["spec", "nodeName"])).is_some_and(|kubelet| kubelet.agent);
    let has_own_address = |pod: &&Value| holds(pod, "Ready") && at(pod, &["spec", "hostNetwork"]) != Some(&json!(true));
    let pods: Vec<Value> = kube.all("pods").filter(has_own_address).filter(on_agent).cloned().collect();
    for pod in pods {
        let place = endpoints.place(namespace_of(&pod), name_of(&pod));
        if kube.object(endpoints, &place).is_some() {
            continue;
        }
        let endpoint = json!({
            "metadata": {
                "name": name_of(&pod),
                "namespace": namespace_of(&pod),
                "labels": at(&pod, &["metadata", "labels"]).cloned().unwrap_or_else(|| json!({})),
                "ownerReferences": [{ "apiVersion": "v1", "kind": "Pod", "name": name_of(&pod), "uid": uid_of(&pod) }],
            },
            "status": {
                "encryption": {},
                "external-identifiers": {
                    "k8s-namespace": namespace_of(&pod),
                    "k8s-pod-name": name_of(&pod),
                    "pod-name": format!("{}/{}", namespace_of(&pod), name_of(&pod)),
                },
                "networking": { "addressing": [{ "ipv4": str_at(&pod, &["status", "podIP"]) }], "node": str_at(&pod, &["status", "hostIP"]) },
                "state": "ready",
            },
        });
        kube.add(endpoints, endpoint, (AGENT, now));
    }
}
