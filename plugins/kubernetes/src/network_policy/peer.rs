use std::{collections::BTreeMap, net::Ipv4Addr};

use serde_json::Value;
use stargate_kubernetes_client::json::{list, text_or_empty};

/// End of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PolicyPeer {
    /// Address of the end.
    pub(crate) address: Ipv4Addr,
    /// Name of the machine that the end is, or is on.
    pub(crate) machine: String,
    /// The pod; `None` for a machine, a pod in the network of its node, or an address of no pod.
    pub(crate) pod: Option<PolicyPod>,
    /// True if the end is a machine, or a pod in its network.
    pub(crate) is_machine: bool,
}

/// Properties of a pod by which policies select it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PolicyPod {
    /// Namespace of the pod.
    pub(crate) namespace: String,
    /// Name of the pod.
    pub(crate) name: String,
    /// Labels of the pod.
    pub(crate) labels: BTreeMap<String, String>,
    /// Labels of its namespace.
    pub(crate) namespace_labels: BTreeMap<String, String>,
    /// Numbers of the named ports of its containers.
    pub(crate) ports: BTreeMap<String, u16>,
}

impl PolicyPod {
    /// Reads a pod and its namespace.
    pub(crate) fn new(pod: &Value, namespace: Option<&Value>) -> Self {
        let ports = list(pod, "/spec/containers").flat_map(|container| list(container, "/ports"));
        let named = ports.filter_map(|port| {
            let number = u16::try_from(port["containerPort"].as_u64()?).ok()?;
            Some((port["name"].as_str()?.to_owned(), number))
        });
        Self {
            namespace: text_or_empty(pod, "/metadata/namespace"),
            name: text_or_empty(pod, "/metadata/name"),
            labels: labels(pod),
            namespace_labels: namespace.map(labels).unwrap_or_default(),
            ports: named.collect(),
        }
    }
}

fn labels(object: &Value) -> BTreeMap<String, String> {
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
    labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}
