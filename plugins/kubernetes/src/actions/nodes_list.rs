use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_kubernetes_client::{CILIUM_NODES, KubeClient, NODE_NETWORK_CONFIGS, ObjectKind, json::name, permission};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Permission, Preview, Recovery, RequiredPermissions};

use crate::node::{
    internal_ip, is_managed, is_ready, kubelet_version, labels, pod_cidr_of_cilium_node, pod_cidr_of_network_config,
    pod_cidr_of_node,
};

/// Action `kubernetes.nodes.list`: lists nodes with the pod CIDRs that they use.
pub(crate) struct NodesList(pub(crate) Arc<KubeClient>);

/// The nodes to list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodesListInput {
    /// Label selector [default: all nodes].
    #[serde(default)]
    selector: Option<String>,
}

/// Nodes that match the selector.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NodesListOutput {
    /// The nodes, sorted by name.
    pub nodes: Vec<ListedNode>,
}

/// One node of the list.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ListedNode {
    /// Name of the node.
    pub name: String,
    /// First internal address of IPv4 of the node; empty if it has none.
    pub internal_ip: String,
    /// Prefix from which its pods get addresses; `null` if no object names it.
    pub pod_cidr: Option<String>,
    /// True if the node is ready.
    pub ready: bool,
    /// Labels of the node.
    pub labels: BTreeMap<String, String>,
    /// Version of its kubelet, such as `v1.33.5`.
    pub kubelet_version: String,
    /// True if AKS manages the node; false for one that has joined from a datacenter.
    pub managed: bool,
}

impl NodesList {
    /// Result of `read` for each object of a kind, by the name of the node. A kind that the cluster
    /// does not serve has no objects.
    async fn pod_cidrs(
        &self,
        cx: &ActionContext,
        kind: &ObjectKind,
        read: fn(&Value) -> Option<String>,
    ) -> Result<HashMap<String, String>, ActionError> {
        let objects = self.0.list(cx, kind, None, None).await?.unwrap_or_default();
        Ok(objects.iter().filter_map(|object| Some((name(object).to_owned(), read(object)?))).collect())
    }
}

impl Action for NodesList {
    type Input = NodesListInput;
    type Output = NodesListOutput;
    const NAME: &'static str = "kubernetes.nodes.list";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Lists nodes with the pod CIDRs that they use.";

    async fn run(&self, cx: &ActionContext, input: &NodesListInput) -> Result<NodesListOutput, ActionError> {
        let filter = input.selector.as_deref().map(|selector| ("labelSelector", selector));
        let mut nodes = self.0.nodes(cx, filter).await?;
        nodes.sort_by(|a, b| name(a).cmp(name(b)));
        let azure = self.pod_cidrs(cx, &NODE_NETWORK_CONFIGS, pod_cidr_of_network_config).await?;
        let cilium = self.pod_cidrs(cx, &CILIUM_NODES, pod_cidr_of_cilium_node).await?;
        // The CiliumNode of a node that AKS manages can contain an outdated prefix.
        let pod_cidr = |node: &Value| {
            let assigned = azure.get(name(node)).cloned().or_else(|| pod_cidr_of_node(node));
            assigned.or_else(|| cilium.get(name(node)).filter(|_| !is_managed(node)).cloned())
        };
        Ok(NodesListOutput { nodes: nodes.iter().map(|node| listed(node, pod_cidr(node))).collect() })
    }

    async fn preview(&self, cx: &ActionContext, input: &NodesListInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for NodesList {
    const PERMISSIONS: &'static [Permission] = &[
        permission("list nodes"),
        permission("list nodenetworkconfigs.acn.azure.com"),
        permission("list ciliumnodes.cilium.io"),
    ];
}

fn listed(node: &Value, pod_cidr: Option<String>) -> ListedNode {
    ListedNode {
        name: name(node).to_owned(),
        internal_ip: internal_ip(node),
        pod_cidr,
        ready: is_ready(node),
        labels: labels(node),
        kubelet_version: kubelet_version(node),
        managed: is_managed(node),
    }
}
