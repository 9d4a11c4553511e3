use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::future::BoxFuture;
use serde_json::Value;
use stargate_kubernetes_client::{KubeClient, json::name};
use stargate_sdk::{ActionContext, ActionError, Check, Finding, Permission};

use crate::node::{internal_ip, is_managed, labels};

/// Label of AKS with the data plane of a node; `cilium`, or absent.
const DATAPLANE: &str = "kubernetes.azure.com/ebpf-dataplane";
/// Label of AKS with the network of the pods of a node; `overlay`, or absent.
const POD_NETWORK: &str = "kubernetes.azure.com/podnetwork-type";
/// Label of AKS with the subnet of a node.
const SUBNET: &str = "kubernetes.azure.com/network-subnet";
/// Label of AKS with the group of the cluster's resources, which each of its nodes has.
const GROUP: &str = "kubernetes.azure.com/cluster";
/// Label of AKS with the node pool.
const POOL: &str = "kubernetes.azure.com/agentpool";

/// Check `kubernetes.shape`: the nodes of the cluster are of the shape whose routes the workflows
/// know. AKS labels its nodes with it.
pub(crate) struct ClusterShape(pub(crate) Arc<KubeClient>);

impl Check for ClusterShape {
    fn id(&self) -> &'static str {
        "kubernetes.shape"
    }

    fn summary(&self) -> &'static str {
        "Checks that the nodes have an overlay network with Cilium, one subnet, and addresses of IPv4."
    }

    fn after(&self) -> &'static [&'static str] {
        &["kubernetes.api"]
    }

    fn run<'a>(&'a self, cx: &'a ActionContext, _: &'a BTreeSet<Permission>) -> BoxFuture<'a, Finding> {
        Box::pin(async {
            match self.nodes(cx).await {
                Ok(nodes) => judge(&nodes),
                Err(error) => {
                    Finding::of_error(error, "the account in the kubeconfig needs the permission to list nodes")
                }
            }
        })
    }
}

impl ClusterShape {
    /// Nodes that AKS manages.
    async fn nodes(&self, cx: &ActionContext) -> Result<Vec<Value>, ActionError> {
        let mut nodes = self.0.nodes(cx, None).await?;
        nodes.retain(is_managed);
        Ok(nodes)
    }
}

fn judge(nodes: &[Value]) -> Finding {
    if nodes.is_empty() {
        return Finding::warning(
            "no node of the cluster is managed by AKS",
            "check the context of the kubeconfig, and the node pools with `az aks nodepool list`",
        );
    }
    let pools: BTreeSet<String> = nodes.iter().filter_map(|node| labels(node).remove(POOL)).collect();
    let problems = [
        unlike(nodes, DATAPLANE, "cilium").map(|names| format!("without Cilium's data plane: {names}")),
        unlike(nodes, POD_NETWORK, "overlay").map(|names| format!("without an overlay network: {names}")),
        without_address(nodes).map(|names| format!("without an internal address of IPv4: {names}")),
        subnets(nodes).map(|subnets| format!("node pools in several subnets: {subnets}")),
    ];
    let problems: Vec<String> = problems.into_iter().flatten().collect();
    if problems.is_empty() {
        let pools: Vec<&str> = pools.iter().map(String::as_str).collect();
        let pools = if pools.is_empty() { String::new() } else { format!("; node pools: {}", pools.join(", ")) };
        return Finding::ok(format!("nodes with an overlay network and Cilium: {}{pools}", nodes.len()));
    }
    Finding::warning(
        problems.join("; "),
        "routes are known for nodes of one subnet with `--network-plugin azure --network-plugin-mode overlay \
         --network-dataplane cilium`; run `stargate plan provision-aks-router` to see what a run would do",
    )
}

/// Names of the nodes whose label has another value. Nodes that AKS has not labelled are not
/// judged.
fn unlike(nodes: &[Value], label: &str, value: &str) -> Option<String> {
    let is_other = |node: &&Value| {
        let labels = labels(node);
        labels.contains_key(GROUP) && labels.get(label).is_none_or(|found| found != value)
    };
    names(nodes.iter().filter(is_other))
}

fn without_address(nodes: &[Value]) -> Option<String> {
    names(nodes.iter().filter(|node| internal_ip(node).is_empty()))
}

fn names<'n>(nodes: impl Iterator<Item = &'n Value>) -> Option<String> {
    let names: Vec<&str> = nodes.map(name).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// The subnets with their node pools, if there are several.
fn subnets(nodes: &[Value]) -> Option<String> {
    let mut subnets: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in nodes {
        let mut labels = labels(node);
        if let Some(subnet) = labels.remove(SUBNET) {
            subnets.entry(subnet).or_default().extend(labels.remove(POOL));
        }
    }
    let text = |(subnet, pools): (&String, &BTreeSet<String>)| {
        let pools: Vec<&str> = pools.iter().map(String::as_str).collect();
        format!("{subnet} ({})", pools.join(", "))
    };
    (subnets.len() > 1).then(|| subnets.iter().map(text).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use stargate_sdk::CheckStatus;

    use super::*;

    fn node(name: &str, pool: &str, subnet: &str) -> Value {
        json!({"metadata": {"name": name, "labels": {GROUP: "g", DATAPLANE: "cilium", POD_NETWORK: "overlay", SUBNET: subnet, POOL: pool}},
            "status": {"addresses": [{"type": "InternalIP", "address": "10.224.0.4"}]}})
    }

    #[test]
    fn a_shape_that_the_workflows_do_not_know_is_a_warning_that_names_the_nodes() {
        let finding = judge(&[node("a", "one", "aks"), node("b", "two", "aks")]);
        assert_eq!(
            (finding.status, finding.message.as_str()),
            (CheckStatus::Ok, "nodes with an overlay network and Cilium: 2; node pools: one, two")
        );
        let mut plain = node("c", "two", "other");
        plain["metadata"]["labels"].as_object_mut().expect("labels").remove(DATAPLANE);
        plain["status"]["addresses"][0]["address"] = json!("fd00::4");
        let finding = judge(&[node("a", "one", "aks"), plain]);
        assert_eq!(finding.status, CheckStatus::Warning);
        assert_eq!(
            finding.message,
            "without Cilium's data plane: c; without an internal address of IPv4: c; \
             node pools in several subnets: aks (one), other (two)"
        );
        let unlabelled = json!({"metadata": {"name": "d"}, "status": node("d", "", "")["status"]});
        assert_eq!(judge(&[unlabelled]).status, CheckStatus::Ok);
        assert_eq!(judge(&[]).status, CheckStatus::Warning);
    }
}
