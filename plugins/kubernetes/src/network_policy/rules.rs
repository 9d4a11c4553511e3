use std::{collections::BTreeMap, net::Ipv4Addr};

use ipnet::Ipv4Net;
use k8s_openapi::{
    api::networking::v1::{IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use kube::core::{Selector, SelectorExt};

use super::peer::{PolicyPeer, PolicyPod};

/// Direction of a connection at a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PolicyDirection {
    /// The pod opens the connection.
    Egress,
    /// The connection is opened to the pod.
    Ingress,
}

/// Program that enforces the policies of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PolicyEngine {
    /// Cilium: an `ipBlock` covers neither pods nor nodes (Cilium's documentation, section
    /// "Kubernetes network policies").
    Cilium,
    /// Another one: an `ipBlock` covers all addresses in it.
    Other,
    /// None that AKS has installed. Somebody else may have installed one: it is not known whether
    /// policies have an effect.
    Unknown,
}

impl PolicyEngine {
    /// Reads the property `networkPolicy` of an AKS cluster.
    pub(crate) fn of_aks(network_policy: Option<&str>) -> Self {
        match network_policy {
            None | Some("none") => Self::Unknown,
            Some("cilium") => Self::Cilium,
            Some(_) => Self::Other,
        }
    }
}

/// TCP connection between two ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PolicyFlow<'a> {
    pub(crate) from: &'a PolicyPeer,
    pub(crate) to: &'a PolicyPeer,
    /// Port of the end that answers.
    pub(crate) port: u16,
    pub(crate) engine: PolicyEngine,
}

impl PolicyFlow<'_> {
    /// The end that policies for a direction isolate, and the other one.
    fn ends(&self, direction: PolicyDirection) -> (&PolicyPeer, &PolicyPeer) {
        match direction {
            PolicyDirection::Egress => (self.from, self.to),
            PolicyDirection::Ingress => (self.to, self.from),
        }
    }
}

/// Names of the policies that isolate an end of a connection, if none of them admits it; empty if
/// the connection is admitted. A node always reaches its own pods.
pub(crate) fn denying_policies(
    policies: &[NetworkPolicy],
    flow: &PolicyFlow<'_>,
    direction: PolicyDirection,
) -> Vec<String> {
    let (own, peer) = flow.ends(direction);
    let is_own_node = peer.is_machine && peer.machine == own.machine;
    let Some(pod) = own.pod.as_ref().filter(|_| !is_own_node) else {
        return Vec::new();
    };
    let isolating: Vec<&NetworkPolicy> = policies.iter().filter(|policy| isolates(policy, pod, direction)).collect();
    if isolating.iter().any(|policy| admits(policy, flow, direction)) {
        return Vec::new();
    }
    isolating.iter().filter_map(|policy| policy.metadata.name.clone()).collect()
}

/// True if a policy selects a pod for a direction. Without `policyTypes`, a policy is for ingress,
/// and for egress if it has rules for it.
fn isolates(policy: &NetworkPolicy, pod: &PolicyPod, direction: PolicyDirection) -> bool {
    let Some(spec) = &policy.spec else { return false };
    let has = |kind: &str| spec.policy_types.iter().flatten().any(|each| each == kind);
    let concerns = match (direction, &spec.policy_types) {
        (PolicyDirection::Ingress, None) => true,
        (PolicyDirection::Egress, None) => spec.egress.is_some(),
        (PolicyDirection::Ingress, Some(_)) => has("Ingress"),
        (PolicyDirection::Egress, Some(_)) => has("Egress"),
    };
    let selected = spec.pod_selector.as_ref().is_none_or(|selector| is_selected(selector, &pod.labels));
    concerns && selected && policy.metadata.namespace.as_deref() == Some(&pod.namespace)
}

fn admits(policy: &NetworkPolicy, flow: &PolicyFlow<'_>, direction: PolicyDirection) -> bool {
    let Some(spec) = &policy.spec else { return false };
    let namespace = policy.metadata.namespace.as_deref().unwrap_or_default();
    let (_, peer) = flow.ends(direction);
    rules(spec, direction).into_iter().any(|(peers, ports)| {
        (peers.is_empty() || peers.iter().any(|each| covers(each, namespace, peer, flow.engine)))
            && (ports.is_empty() || ports.iter().any(|port| is_port(port, flow)))
    })
}

/// Peers and ports of the rules for a direction. A rule without peers is for all of them.
fn rules(spec: &NetworkPolicySpec, direction: PolicyDirection) -> Vec<(&[NetworkPolicyPeer], &[NetworkPolicyPort])> {
    let egress = spec.egress.iter().flatten().map(|rule| (rule.to.as_deref(), rule.ports.as_deref()));
    let ingress = spec.ingress.iter().flatten().map(|rule| (rule.from.as_deref(), rule.ports.as_deref()));
    let rules: Vec<_> = match direction {
        PolicyDirection::Egress => egress.collect(),
        PolicyDirection::Ingress => ingress.collect(),
    };
    rules.into_iter().map(|(peers, ports)| (peers.unwrap_or_default(), ports.unwrap_or_default())).collect()
}

fn covers(rule: &NetworkPolicyPeer, namespace: &str, peer: &PolicyPeer, engine: PolicyEngine) -> bool {
    if let Some(block) = &rule.ip_block {
        let is_of_cluster = peer.pod.is_some() || peer.is_machine;
        return (engine != PolicyEngine::Cilium || !is_of_cluster) && is_in(block, peer.address);
    }
    let Some(pod) = &peer.pod else { return false };
    let in_namespace = match &rule.namespace_selector {
        Some(selector) => is_selected(selector, &pod.namespace_labels),
        None => pod.namespace == namespace,
    };
    in_namespace && rule.pod_selector.as_ref().is_none_or(|selector| is_selected(selector, &pod.labels))
}

fn is_in(block: &IPBlock, address: Ipv4Addr) -> bool {
    let contains = |text: &String| text.parse::<Ipv4Net>().is_ok_and(|prefix| prefix.contains(&address));
    contains(&block.cidr) && !block.except.iter().flatten().any(contains)
}

/// True if a port of a rule is that of the connection. Named ports are those of the pod that
/// answers.
fn is_port(rule: &NetworkPolicyPort, flow: &PolicyFlow<'_>) -> bool {
    if rule.protocol.as_deref().is_some_and(|protocol| protocol != "TCP") {
        return false;
    }
    let first = match &rule.port {
        None => return true,
        Some(IntOrString::Int(number)) => u16::try_from(*number).ok(),
        Some(IntOrString::String(name)) => flow.to.pod.as_ref().and_then(|pod| pod.ports.get(name)).copied(),
    };
    let last = rule.end_port.and_then(|last| u16::try_from(last).ok()).or(first);
    first.zip(last).is_some_and(|(first, last)| (first..=last).contains(&flow.port))
}

/// True if labels meet a selector. One that cannot be evaluated selects nothing: the API server
/// refuses it.
fn is_selected(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    Selector::try_from(selector.clone()).is_ok_and(|selector| selector.matches(labels))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, namespace: &str, address: &str) -> PolicyPeer {
        let object = json!({"metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
            "spec": {"containers": [{"ports": [{"name": "http", "containerPort": 80}]}]}});
        let namespace = json!({"metadata": {"labels": {"kubernetes.io/metadata.name": namespace}}});
        let pod = Some(PolicyPod::new(&object, Some(&namespace)));
        PolicyPeer { address: address.parse().expect("an address"), machine: "n".into(), pod, is_machine: false }
    }

    fn machine(name: &str, address: &str) -> PolicyPeer {
        let address = address.parse().expect("an address");
        PolicyPeer { address, machine: name.into(), pod: None, is_machine: true }
    }

    fn policy(spec: &Value) -> NetworkPolicy {
        let object = json!({"metadata": {"name": "p", "namespace": "shop"}, "spec": spec});
        serde_json::from_value(object).expect("a policy")
    }

    /// Checks whether a policy with these rules of ingress for `db` admits `from`.
    fn admits_ingress(rules: &Value, from: &PolicyPeer, engine: PolicyEngine) -> bool {
        let policy = policy(&json!({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": rules}));
        let to = pod("db", "shop", "10.244.64.9");
        let flow = PolicyFlow { from, to: &to, port: 80, engine };
        denying_policies(&[policy], &flow, PolicyDirection::Ingress).is_empty()
    }

    #[test]
    fn a_rule_admits_what_all_its_parts_cover() {
        let web = pod("web", "shop", "10.244.0.9");
        let other = pod("web", "other", "10.244.0.10");
        let in_shop = json!({"matchLabels": {"kubernetes.io/metadata.name": "shop"}});
        let is_web = json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]});
        for (rules, of_web, of_other) in [
            (json!(null), false, false),
            (json!([]), false, false),
            (json!([{}]), true, true),
            (json!([{"from": [{"podSelector": {}}]}]), true, false),
            (json!([{"from": [{"namespaceSelector": {}}]}]), true, true),
            (json!([{"from": [{"namespaceSelector": in_shop, "podSelector": is_web}]}]), true, false),
            (json!([{"from": [{"podSelector": {"matchLabels": {"app": "db"}}}]}]), false, false),
            (json!([{"ports": [{"port": 80}]}]), true, true),
            (json!([{"ports": [{"port": "http", "protocol": "TCP"}]}]), true, true),
            (json!([{"ports": [{"port": 79, "endPort": 81}]}]), true, true),
            (json!([{"ports": [{"port": 79}, {"port": 80, "protocol": "UDP"}]}]), false, false),
        ] {
            assert_eq!(admits_ingress(&rules, &web, PolicyEngine::Cilium), of_web, "web: {rules}");
            assert_eq!(admits_ingress(&rules, &other, PolicyEngine::Cilium), of_other, "other: {rules}");
        }
    }

    #[test]
    fn address_blocks_cover_pods_and_nodes_but_with_cilium() {
        let blocks = json!([{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.99.0.0/16"]}}]}]);
        let address = |text: &str| PolicyPeer { is_machine: false, ..machine("", text) };
        let web = pod("web", "shop", "10.244.0.9");
        assert!(!admits_ingress(&blocks, &web, PolicyEngine::Cilium));
        assert!(admits_ingress(&blocks, &web, PolicyEngine::Other));
        assert!(!admits_ingress(&blocks, &machine("m", "10.224.0.4"), PolicyEngine::Cilium));
        assert!(admits_ingress(&blocks, &machine("n", "10.224.0.4"), PolicyEngine::Cilium), "the pod's own node");
        assert!(admits_ingress(&blocks, &address("10.1.2.3"), PolicyEngine::Cilium));
        assert!(!admits_ingress(&blocks, &address("10.99.2.3"), PolicyEngine::Cilium));
        assert!(!admits_ingress(&json!([]), &address("10.99.2.3"), PolicyEngine::Unknown));
    }

    #[test]
    fn types_and_selectors_decide_which_direction_of_a_pod_is_isolated() {
        let (web, db) = (pod("web", "shop", "10.244.0.9"), pod("db", "shop", "10.244.64.9"));
        let flow = PolicyFlow { from: &web, to: &db, port: 80, engine: PolicyEngine::Cilium };
        for (spec, egress, ingress) in [
            (json!({"podSelector": {}}), false, true),
            (json!({"podSelector": {}, "egress": []}), true, true),
            (json!({"podSelector": {}, "policyTypes": ["Egress"]}), true, false),
            (json!({"podSelector": {"matchLabels": {"app": "web"}}}), false, false),
            (
                json!({"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress", "Ingress"]}),
                true,
                false,
            ),
        ] {
            let policies = [policy(&spec)];
            let is_denied = |direction| !denying_policies(&policies, &flow, direction).is_empty();
            let denied = (is_denied(PolicyDirection::Egress), is_denied(PolicyDirection::Ingress));
            assert_eq!(denied, (egress, ingress), "{spec}");
        }
        let admitting = policy(&json!({"podSelector": {}, "ingress": [{}]}));
        let both = [policy(&json!({"podSelector": {}})), admitting];
        assert!(denying_policies(&both, &flow, PolicyDirection::Ingress).is_empty(), "one that admits is enough");
    }
}
