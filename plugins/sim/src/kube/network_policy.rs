use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::Value;

use super::json::{at, list_at, name_of, namespace_of, str_at, strings_at};
use super::selector::meets;
use super::state::Kube;

/// Direction of a connection at a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PolicyDirection {
    /// The pod opens the connection.
    Egress,
    /// The connection is opened to the pod.
    Ingress,
}

/// Connection at one of its ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PolicyFlow {
    pub(crate) direction: PolicyDirection,
    /// Address of the end.
    pub(crate) own: Ipv4Addr,
    /// Address of the other end.
    pub(crate) peer: Ipv4Addr,
    /// Transport protocol and destination port; `None` for a protocol without ports.
    pub(crate) port: Option<(&'static str, u16)>,
}

/// Network policies of the cluster, as Cilium enforces them: an `ipBlock` covers neither pods nor
/// nodes (Cilium's documentation, "Kubernetes network policies").
#[derive(Debug, Clone, Default)]
pub(crate) struct NetworkPolicies {
    policies: Vec<Value>,
    /// Pods with an address of their own.
    pods: BTreeMap<Ipv4Addr, Value>,
    /// Labels of the namespaces.
    namespaces: BTreeMap<String, Value>,
    /// Addresses of the nodes.
    nodes: BTreeSet<Ipv4Addr>,
}

impl NetworkPolicies {
    /// Collects the policies, and without any nothing else.
    pub(crate) fn of(kube: &Kube) -> Self {
        let policies: Vec<Value> = kube.all("networkpolicies.networking.k8s.io").cloned().collect();
        if policies.is_empty() {
            return Self::default();
        }
        let has_own_address = |pod: &&Value| at(pod, &["spec", "hostNetwork"]) != Some(&Value::Bool(true));
        let pods = kube.all("pods").filter(has_own_address);
        let addresses = kube.all("nodes").flat_map(|node| list_at(node, &["status", "addresses"]));
        let labels = |namespace: &Value| at(namespace, &["metadata", "labels"]).cloned().unwrap_or_default();
        Self {
            policies,
            pods: pods.filter_map(|pod| Some((address(pod, &["status", "podIP"])?, pod.clone()))).collect(),
            namespaces: kube.all("namespaces").map(|each| (name_of(each).to_owned(), labels(each))).collect(),
            nodes: addresses.filter_map(|each| address(each, &["address"])).collect(),
        }
    }

    /// Returns the names of the policies that isolate an end of a connection, if none of them
    /// admits it.
    pub(crate) fn denial(&self, flow: &PolicyFlow) -> Option<String> {
        let pod = self.pods.get(&flow.own)?;
        let isolating: Vec<&Value> =
            self.policies.iter().filter(|policy| isolates(policy, pod, flow.direction)).collect();
        let is_denied = !isolating.is_empty() && !isolating.iter().any(|policy| self.admits(policy, flow));
        let names = || isolating.iter().map(|policy| format!("{}/{}", namespace_of(policy), name_of(policy)));
        is_denied.then(|| names().collect::<Vec<_>>().join(", "))
    }

    fn admits(&self, policy: &Value, flow: &PolicyFlow) -> bool {
        let (rules, peers) = match flow.direction {
            PolicyDirection::Egress => ("egress", "to"),
            PolicyDirection::Ingress => ("ingress", "from"),
        };
        let namespace = namespace_of(policy);
        list_at(policy, &["spec", rules]).iter().any(|rule| {
            let (peers, ports) = (list_at(rule, &[peers]), list_at(rule, &["ports"]));
            (peers.is_empty() || peers.iter().any(|peer| self.covers(peer, namespace, flow.peer)))
                && (ports.is_empty() || ports.iter().any(|port| self.is_port(port, flow)))
        })
    }

    /// Returns true if a peer of a rule covers an address.
    fn covers(&self, peer: &Value, namespace: &str, address: Ipv4Addr) -> bool {
        let Some(pod) = self.pods.get(&address) else {
            return at(peer, &["ipBlock"]).is_some_and(|block| !self.nodes.contains(&address) && is_in(block, address));
        };
        let is_selected = |selector: &Value| meets(selector, labels(pod));
        let in_namespace = match at(peer, &["namespaceSelector"]) {
            Some(selector) => self.namespaces.get(namespace_of(pod)).is_some_and(|labels| meets(selector, labels)),
            None => namespace == namespace_of(pod),
        };
        at(peer, &["ipBlock"]).is_none() && in_namespace && at(peer, &["podSelector"]).is_none_or(is_selected)
    }

    /// Returns true if a port of a rule is that of the connection.
    fn is_port(&self, port: &Value, flow: &PolicyFlow) -> bool {
        let Some((protocol, number)) = flow.port else { return false };
        let server = match flow.direction {
            PolicyDirection::Egress => flow.peer,
            PolicyDirection::Ingress => flow.own,
        };
        let first = match at(port, &["port"]) {
            None => return has_protocol(port, protocol),
            Some(Value::String(name)) => self.pods.get(&server).and_then(|pod| port_named(pod, name)),
            Some(given) => given.as_u64().and_then(|given| u16::try_from(given).ok()),
        };
        let last = at(port, &["endPort"]).and_then(Value::as_u64).and_then(|last| u16::try_from(last).ok()).or(first);
        let is_inside = first.zip(last).is_some_and(|(first, last)| (first..=last).contains(&number));
        has_protocol(port, protocol) && is_inside
    }
}

/// Returns true if a policy selects a pod for a direction. Without `policyTypes`, a policy is for
/// ingress, and for egress if it has rules for it.
fn isolates(policy: &Value, pod: &Value, direction: PolicyDirection) -> bool {
    let types = strings_at(policy, &["spec", "policyTypes"]);
    let concerns = match direction {
        PolicyDirection::Egress if types.is_empty() => at(policy, &["spec", "egress"]).is_some(),
        PolicyDirection::Egress => types.iter().any(|each| each == "Egress"),
        PolicyDirection::Ingress => types.is_empty() || types.iter().any(|each| each == "Ingress"),
    };
    let selector = at(policy, &["spec", "podSelector"]).unwrap_or(&Value::Null);
    concerns && namespace_of(policy) == namespace_of(pod) && meets(selector, labels(pod))
}

fn labels(pod: &Value) -> &Value {
    at(pod, &["metadata", "labels"]).unwrap_or(&Value::Null)
}

fn has_protocol(port: &Value, protocol: &str) -> bool {
    let given = str_at(port, &["protocol"]);
    if given.is_empty() { protocol == "tcp" } else { given.eq_ignore_ascii_case(protocol) }
}

fn is_in(block: &Value, address: Ipv4Addr) -> bool {
    let is_in = |text: &str| text.parse::<Ipv4Net>().is_ok_and(|prefix| prefix.contains(&address));
    is_in(str_at(block, &["cidr"])) && !strings_at(block, &["except"]).iter().any(|text| is_in(text))
}

/// Returns the number of a named port of a pod.
fn port_named(pod: &Value, name: &str) -> Option<u16> {
    let mut ports = list_at(pod, &["spec", "containers"]).iter().flat_map(|each| list_at(each, &["ports"]));
    let port = ports.find(|port| str_at(port, &["name"]) == name)?;
    u16::try_from(at(port, &["containerPort"])?.as_u64()?).ok()
}

fn address(object: &Value, path: &[&str]) -> Option<Ipv4Addr> {
    str_at(object, path).parse().ok()
}
