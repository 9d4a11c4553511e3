use std::{collections::BTreeMap, sync::Arc};

use futures::{TryStreamExt, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_client::Prefix;
use stargate_kubernetes_client::{
    CILIUM_NODES, KubeClient,
    json::{name, text},
    permission,
};
use stargate_sdk::{ActionContext, ActionError, Difference, Permission, RequiredPermissions, Resource};

use crate::cilium_node::{apply_pod_cidrs, pod_cidrs};

/// Maximum number of concurrent writes. kube-apiserver runs 200 writes at a time by default
/// (`--max-mutating-requests-inflight`), of all clients.
const MAX_CONCURRENT: usize = 16;

/// Action `cilium.nodes.ensure`: makes the pod CIDRs of several `CiliumNode`s equal the input.
pub(crate) struct NodesEnsure(pub(crate) Arc<KubeClient>);

/// Desired state of the `CiliumNode`s of a cluster.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CiliumNodesInput {
    /// The nodes to compare. Other nodes, and nodes without a `CiliumNode`, are not changed.
    nodes: Vec<DesiredCiliumNode>,
}

/// Desired state of one `CiliumNode`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DesiredCiliumNode {
    /// Name of the node.
    name: String,
    /// Prefixes from which the node's pods get addresses.
    pod_cidrs: Vec<Prefix>,
}

/// Summary of the `CiliumNode`s.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CiliumNodesOutput {
    /// Names of the nodes for which Cilium's agent has created no `CiliumNode`.
    pub missing: Vec<String>,
    /// Number of nodes whose `CiliumNode` equals the input.
    pub count: usize,
}

impl NodesEnsure {
    async fn write(&self, cx: &ActionContext, node: &DesiredCiliumNode) -> Result<(), ActionError> {
        apply_pod_cidrs(&self.0, cx, &node.name, &node.pod_cidrs).await
    }
}

impl Resource for NodesEnsure {
    type Desired = CiliumNodesInput;
    /// Pod CIDRs by the name of the node.
    type Actual = BTreeMap<String, Value>;
    type Output = CiliumNodesOutput;
    const NAME: &'static str = "cilium.nodes.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes the pod CIDRs of several CiliumNodes equal the input.";

    async fn read(&self, cx: &ActionContext, _: &CiliumNodesInput) -> Result<Option<Self::Actual>, ActionError> {
        let Some(nodes) = self.0.list(cx, &CILIUM_NODES, None, None).await? else { return Err(no_kind_error()) };
        let named = nodes.iter().filter(|node| text(node, "/metadata/name").is_some());
        Ok(Some(named.map(|node| (name(node).to_owned(), json!(pod_cidrs(node)))).collect()))
    }

    fn diff(&self, desired: &CiliumNodesInput, actual: Option<&Self::Actual>) -> Result<Vec<Difference>, ActionError> {
        Ok(differing(desired, actual)
            .filter_map(|(node, before)| Difference::between(&label(&node.name), before.clone(), json!(node.pod_cidrs)))
            .collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &CiliumNodesInput,
        actual: Option<&Self::Actual>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let writes: Vec<_> = differing(desired, actual).map(|(node, _)| Ok(self.write(cx, node))).collect();
        stream::iter(writes).try_for_each_concurrent(MAX_CONCURRENT, |write| write).await
    }

    fn output(
        &self,
        _: &ActionContext,
        desired: &CiliumNodesInput,
        actual: &Self::Actual,
    ) -> Result<CiliumNodesOutput, ActionError> {
        let names = desired.nodes.iter().map(|node| &node.name);
        let missing: Vec<_> = names.filter(|name| !actual.contains_key(*name)).cloned().collect();
        Ok(CiliumNodesOutput { count: desired.nodes.len() - missing.len(), missing })
    }
}

impl RequiredPermissions for NodesEnsure {
    const PERMISSIONS: &'static [Permission] =
        &[permission("list ciliumnodes.cilium.io"), permission("patch ciliumnodes.cilium.io")];
}

/// The nodes whose `CiliumNode` exists and has other pod CIDRs, with those.
fn differing<'a>(
    desired: &'a CiliumNodesInput,
    actual: Option<&'a BTreeMap<String, Value>>,
) -> impl Iterator<Item = (&'a DesiredCiliumNode, &'a Value)> {
    let known = desired.nodes.iter().filter_map(move |node| Some((node, actual?.get(&node.name)?)));
    known.filter(|(node, pod_cidrs)| **pod_cidrs != json!(node.pod_cidrs))
}

fn label(name: &str) -> String {
    format!("pod CIDRs of CiliumNode {name}")
}

fn no_kind_error() -> ActionError {
    ActionError::permanent("the cluster has no kind CiliumNode in cilium.io/v2")
        .with_hint("create the cluster with Azure CNI powered by Cilium")
}
