use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_sdk::{Action, ActionContext, ActionError, Permission, Preview, Recovery, RequiredPermissions};

use crate::{
    api::Api,
    field::name,
    kind::{CILIUM_NODES, Kind, NODE_NETWORK_CONFIGS, NODES},
    node_facts::{
        block_of_cilium_node, block_of_network_config, block_of_node, internal_ip, is_managed, is_ready,
        kubelet_version, labels,
    },
    permission::may,
};

/// `kubernetes.nodes.list`.
pub(crate) struct NodesList(pub(crate) Arc<Api>);

/// Which nodes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodesInput {
    /// A label selector; all nodes by default.
    #[serde(default)]
    selector: Option<String>,
}

/// The nodes.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NodesOutput {
    /// In the order of their names.
    pub nodes: Vec<NodeOutput>,
}

/// One node.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NodeOutput {
    /// Its name.
    pub name: String,
    /// The address that the kubelet was told to use.
    pub internal_ip: String,
    /// The block that its pods really get addresses from; `null` when nothing says it.
    pub pod_cidr: Option<String>,
    /// Whether it is ready.
    pub ready: bool,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Version of its kubelet, such as `v1.33.5`.
    pub kubelet_version: String,
    /// Whether AKS manages it; false for nodes of ours.
    pub managed: bool,
}

impl NodesList {
    /// What `read` sees in each object of a kind, by the node's name. A kind that the cluster lacks says nothing.
    async fn blocks(
        &self,
        cx: &ActionContext,
        kind: &Kind,
        read: fn(&Value) -> Option<String>,
    ) -> Result<HashMap<String, String>, ActionError> {
        let objects = self.0.list(cx, kind, None, None).await?.unwrap_or_default();
        Ok(objects.iter().filter_map(|object| Some((name(object).to_owned(), read(object)?))).collect())
    }
}

impl Action for NodesList {
    type Input = NodesInput;
    type Output = NodesOutput;
    const NAME: &'static str = "kubernetes.nodes.list";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Lists nodes with the blocks that their pods really get addresses from.";

    async fn run(&self, cx: &ActionContext, input: &NodesInput) -> Result<NodesOutput, ActionError> {
        let filter = input.selector.as_deref().map(|selector| ("labelSelector", selector));
        let mut nodes = self.0.list(cx, &NODES, None, filter).await?.unwrap_or_default();
        nodes.sort_by(|a, b| name(a).cmp(name(b)));
        let azure = self.blocks(cx, &NODE_NETWORK_CONFIGS, block_of_network_config).await?;
        let cilium = self.blocks(cx, &CILIUM_NODES, block_of_cilium_node).await?;
        // What AKS hands out is told by AKS alone; a CiliumNode of one of its nodes may repeat an old guess.
        let block = |node: &Value| {
            let given = azure.get(name(node)).cloned().or_else(|| block_of_node(node));
            given.or_else(|| cilium.get(name(node)).filter(|_| !is_managed(node)).cloned())
        };
        Ok(NodesOutput { nodes: nodes.iter().map(|node| seen(node, block(node))).collect() })
    }

    async fn preview(&self, cx: &ActionContext, input: &NodesInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for NodesList {
    const PERMISSIONS: &'static [Permission] =
        &[may("list nodes"), may("list nodenetworkconfigs.acn.azure.com"), may("list ciliumnodes.cilium.io")];
}

fn seen(node: &Value, pod_cidr: Option<String>) -> NodeOutput {
    NodeOutput {
        name: name(node).to_owned(),
        internal_ip: internal_ip(node),
        pod_cidr,
        ready: is_ready(node),
        labels: labels(node),
        kubelet_version: kubelet_version(node),
        managed: is_managed(node),
    }
}
