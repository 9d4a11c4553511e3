use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stargate_kubernetes_client::json::{name, uid};

use super::pairs::ProbedNode;
use crate::{digest::digest_text, eviction::PROBE_PREFIX, probe_pod::pod_spec};

/// Port of the HTTP server in each probe pod: one that no sidecar is likely to use.
pub(super) const HTTP_PORT: u16 = 18080;
/// Label of all objects of one measurement.
const LABEL: &str = "stargate.io/measurement";
/// Label of a pod with its network.
const NETWORK_LABEL: &str = "stargate.io/probe-network";
/// Time after which the cluster removes probe pods that no process removes, in seconds.
const MAX_LIFETIME_SECONDS: u32 = 300;

/// Network that a probe pod is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProbeNetwork {
    /// A network of its own, as most pods have. The pod answers requests.
    Pod,
    /// The network of its node. The pod only asks: a server there could be reached from outside.
    Node,
}

/// Objects of one measurement, named after its step: each attempt uses the same.
#[derive(Debug)]
pub(super) struct ProbeObjects {
    digest: String,
    namespace: String,
    image: String,
}

impl ProbeObjects {
    pub(super) fn new(key: &str, namespace: &str, image: &str) -> Self {
        let digest = digest_text(&Sha256::digest(key));
        Self { digest, namespace: namespace.to_owned(), image: image.to_owned() }
    }

    /// Name of the service and of the network policy.
    pub(super) fn name(&self) -> String {
        format!("{PROBE_PREFIX}{}", self.digest)
    }

    /// Label selector of the pods.
    pub(super) fn selector(&self) -> String {
        format!("{LABEL}={}", self.digest)
    }

    /// Name of the job of a node.
    pub(super) fn job_name(&self, node: &str, network: ProbeNetwork) -> String {
        let node = digest_text(&Sha256::digest(node));
        let suffix = match network {
            ProbeNetwork::Pod => "p",
            ProbeNetwork::Node => "n",
        };
        format!("{PROBE_PREFIX}{}-{node}-{suffix}", self.digest)
    }

    /// Job that runs one pod on a node. The cluster ends it after [`MAX_LIFETIME_SECONDS`] and then
    /// removes it.
    pub(super) fn job(&self, node: &ProbedNode, network: ProbeNetwork) -> Value {
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": self.job_name(&node.name, network), "labels": self.labels()},
            "spec": {
                "backoffLimit": 0,
                "activeDeadlineSeconds": MAX_LIFETIME_SECONDS,
                "ttlSecondsAfterFinished": 0,
                "template": {"metadata": {"labels": self.pod_labels(network)}, "spec": self.pod_spec(node, network)},
            },
        })
    }

    /// Specification of the pod of a node in one network.
    fn pod_spec(&self, node: &ProbedNode, network: ProbeNetwork) -> Value {
        let port = format!("--http-port={HTTP_PORT}");
        let mut container = json!({
            "image": self.image,
            "command": ["/agnhost"],
            "args": if network == ProbeNetwork::Pod { json!(["netexec", port]) } else { json!(["pause"]) },
            "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "256Mi"}},
        });
        if network == ProbeNetwork::Pod {
            container["ports"] = json!([{"containerPort": HTTP_PORT}]);
        }
        let mut spec = pod_spec(&node.name, container);
        spec["hostNetwork"] = json!(network == ProbeNetwork::Node);
        spec
    }

    /// Service of the pods. It passes requests to the pod on the same node, so that only the node's
    /// own translation is asked about.
    pub(super) fn service(&self, owner: &Value) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": self.owned_metadata(owner),
            "spec": {
                "selector": self.pod_labels(ProbeNetwork::Pod),
                "internalTrafficPolicy": "Local",
                "ports": [{"port": HTTP_PORT, "targetPort": HTTP_PORT}],
            },
        })
    }

    /// Policy that admits only the pods of this measurement: their server runs any command that it
    /// is asked to.
    pub(super) fn network_policy(&self, owner: &Value) -> Value {
        let selector = json!({"matchLabels": self.pod_labels(ProbeNetwork::Pod)});
        json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": self.owned_metadata(owner),
            "spec": {
                "podSelector": selector,
                "policyTypes": ["Ingress"],
                "ingress": [{"from": [{"podSelector": selector}], "ports": [{"port": HTTP_PORT}]}],
            },
        })
    }

    /// Namespace of the objects.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    fn labels(&self) -> Value {
        json!({"app.kubernetes.io/managed-by": "stargate", LABEL: self.digest})
    }

    fn pod_labels(&self, network: ProbeNetwork) -> Value {
        let mut labels = self.labels();
        labels[NETWORK_LABEL] = match network {
            ProbeNetwork::Pod => "pod".into(),
            ProbeNetwork::Node => "node".into(),
        };
        labels
    }

    /// Metadata of an object that the cluster removes with the job `owner`.
    fn owned_metadata(&self, owner: &Value) -> Value {
        let owner = json!({"apiVersion": "batch/v1", "kind": "Job", "name": name(owner), "uid": uid(owner)});
        json!({"name": self.name(), "labels": self.labels(), "ownerReferences": [owner]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> ProbedNode {
        ProbedNode { name: "n".repeat(63), site: "dc".into(), address: "10.1.0.4".into(), is_ready: true }
    }

    #[test]
    fn names_fit_into_a_label_and_differ_by_node_and_network() {
        let objects = ProbeObjects::new("run/step", "default", "image");
        let names = [ProbeNetwork::Pod, ProbeNetwork::Node].map(|network| objects.job_name(&node().name, network));
        assert!(names.iter().all(|name| name.len() <= 63), "{names:?}");
        assert_ne!(names[0], names[1]);
        assert_ne!(names[0], objects.job_name("other", ProbeNetwork::Pod));
    }

    #[test]
    fn the_service_selects_only_pods_that_serve() {
        let objects = ProbeObjects::new("run/step", "default", "image");
        let labels = |network| objects.job(&node(), network)["spec"]["template"]["metadata"]["labels"].clone();
        let selector = objects.service(&json!({}))["spec"]["selector"].clone();
        assert_eq!(selector, labels(ProbeNetwork::Pod));
        assert_ne!(selector, labels(ProbeNetwork::Node));
    }

    #[test]
    fn a_pod_in_the_network_of_its_node_serves_nothing() {
        let spec = ProbeObjects::new("run/step", "default", "image").pod_spec(&node(), ProbeNetwork::Node);
        assert_eq!(spec["containers"][0]["args"], json!(["pause"]));
        assert_eq!(spec["containers"][0]["ports"], Value::Null);
        assert_eq!(spec["hostNetwork"], true);
    }
}
