use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::json::{at, list_at, name_of, namespace_of, str_at};
use super::selector::Selector;
use super::state::Kube;

/// Running pod that has an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunningPod {
    /// Namespace of the pod.
    pub(crate) namespace: String,
    /// Name of the pod.
    pub(crate) name: String,
    /// Address of the pod.
    pub(crate) ip: Ipv4Addr,
    /// True if the pod has the address of its node (`hostNetwork`).
    pub(crate) on_host: bool,
    /// Name of the node of the pod.
    pub(crate) node: String,
    /// Address `InternalIP` of the node; `None` if it is not reported.
    pub(crate) node_address: Option<Ipv4Addr>,
    /// Prefix in the CNI configuration of the node, which can differ from `podCIDR` in the API.
    pub(crate) range: Option<Ipv4Net>,
}

/// Returns the running pods whose labels match a selector in the syntax of `kubectl -l`.
///
/// Without `namespace`, the pods of all namespaces are considered.
///
/// # Errors
///
/// A description of the malformed selector.
pub(crate) fn running_pods(kube: &Kube, namespace: Option<&str>, labels: &str) -> Result<Vec<RunningPod>, String> {
    let selector = Selector::of_labels(namespace, labels).map_err(|refusal| refusal.message().to_owned())?;
    let runs = |pod: &&Value| str_at(pod, &["status", "phase"]) == "Running" && selector.accepts(pod);
    Ok(kube.all("pods").filter(runs).filter_map(|pod| running(kube, pod)).collect())
}

/// Pod that answers HTTP requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WebServer {
    /// Host name inside the pod.
    pub(crate) hostname: String,
    /// True if it is `agnhost netexec`, the test server of the Kubernetes project.
    pub(crate) is_agnhost: bool,
}

/// Returns the pod that answers HTTP requests at an address and port.
///
/// A container is assumed to answer at each port that its pod declares.
pub(crate) fn web_server(kube: &Kube, address: Ipv4Addr, port: u16) -> Option<WebServer> {
    let declares = |pod: &Value| {
        let mut ports = list_at(pod, &["spec", "containers"]).iter().flat_map(|each| list_at(each, &["ports"]));
        ports.any(|each| at(each, &["containerPort"]) == Some(&json!(port)))
    };
    let has_address = |pod: &Value| str_at(pod, &["status", "podIP"]).parse() == Ok(address);
    let runs = |pod: &Value| str_at(pod, &["status", "phase"]) == "Running";
    let pod = kube.all("pods").find(|pod| runs(pod) && has_address(pod) && declares(pod))?;
    let mut arguments = list_at(pod, &["spec", "containers"]).iter().flat_map(|each| list_at(each, &["args"]));
    let is_agnhost = arguments.any(|argument| argument == "netexec");
    Some(WebServer { hostname: hostname(pod).to_owned(), is_agnhost })
}

/// Returns true if a node with this address has a kubelet that runs.
pub(crate) fn kubelet_at(kube: &Kube, address: Ipv4Addr) -> bool {
    let is_its = |node: &&Value| {
        let mut addresses = list_at(node, &["status", "addresses"]).iter();
        addresses.any(|each| str_at(each, &["address"]).parse() == Ok(address))
    };
    let node = kube.all("nodes").find(is_its).map(name_of);
    node.and_then(|node| kube.kubelets.get(node)).is_some_and(|kubelet| kubelet.running)
}

/// Returns the host name inside the containers of a pod.
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

/// Returns a pod with facts about its node; `None` if the pod has no address.
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
