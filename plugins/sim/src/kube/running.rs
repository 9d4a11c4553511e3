use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::json::{at, list_at, name_of, namespace_of, str_at};
use super::selector::Selector;
use super::state::Kube;

/// A pod that runs and has an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunningPod {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) ip: Ipv4Addr,
    /// Whether its address is its node's (`hostNetwork`).
    pub(crate) on_host: bool,
    pub(crate) node: String,
    /// The node's `InternalIP`.
    pub(crate) node_address: Option<Ipv4Addr>,
    /// What the node truly gives its pods addresses of.
    pub(crate) range: Option<Ipv4Net>,
}

/// The pods that run, of a namespace if one is named, whose labels meet a selector as `kubectl -l`
/// takes it.
///
/// The error says what is wrong with the selector.
pub(crate) fn running_pods(kube: &Kube, namespace: Option<&str>, labels: &str) -> Result<Vec<RunningPod>, String> {
    let selector = Selector::of_labels(namespace, labels).map_err(|refusal| refusal.message().to_owned())?;
    let runs = |pod: &&Value| str_at(pod, &["status", "phase"]) == "Running" && selector.accepts(pod);
    Ok(kube.all("pods").filter(runs).filter_map(|pod| running(kube, pod)).collect())
}

/// Host name of the pod that answers over HTTP at an address: a container does at each port that
/// its pod declares.
pub(crate) fn web_server(kube: &Kube, address: Ipv4Addr, port: u16) -> Option<String> {
    let declares = |pod: &Value| {
        let mut ports = list_at(pod, &["spec", "containers"]).iter().flat_map(|each| list_at(each, &["ports"]));
        ports.any(|each| at(each, &["containerPort"]) == Some(&json!(port)))
    };
    let has_address = |pod: &Value| str_at(pod, &["status", "podIP"]).parse() == Ok(address);
    let runs = |pod: &Value| str_at(pod, &["status", "phase"]) == "Running";
    kube.all("pods").find(|pod| runs(pod) && has_address(pod) && declares(pod)).map(|pod| hostname(pod).to_owned())
}

/// What a pod's containers call their host.
pub(crate) fn hostname(pod: &Value) -> &str {
    let given = str_at(pod, &["spec", "hostname"]);
    if at(pod, &["spec", "hostNetwork"]) == Some(&json!(true)) {
        str_at(pod, &["spec", "nodeName"])
    } else if given.is_empty() {
        name_of(pod)
    } else {
        given
    }
}

fn running(kube: &Kube, pod: &Value) -> Option<RunningPod> {
    let node = str_at(pod, &["spec", "nodeName"]);
    let addresses = kube.named("nodes", node).map(|node| list_at(node, &["status", "addresses"])).unwrap_or_default();
    let internal = addresses.iter().find(|address| str_at(address, &["type"]) == "InternalIP");
    Some(RunningPod {
        namespace: namespace_of(pod).to_owned(),
        name: name_of(pod).to_owned(),
        ip: str_at(pod, &["status", "podIP"]).parse().ok()?,
        on_host: at(pod, &["spec", "hostNetwork"]) == Some(&json!(true)),
        node: node.to_owned(),
        node_address: internal.and_then(|address| str_at(address, &["address"]).parse().ok()),
        range: kube.kubelets.get(node).and_then(|kubelet| kubelet.pod_cidr.as_deref()?.parse().ok()),
    })
}
