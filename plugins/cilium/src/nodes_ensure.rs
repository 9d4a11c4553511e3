use std::{collections::BTreeMap, sync::Arc};

use futures::{TryStreamExt, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_sdk::{ActionContext, ActionError, Difference, Permission, RequiredPermissions, Resource};

use crate::{
    api::Api,
    node::{blocks, give},
    permission::may,
    prefix::Prefix,
};

/// Writes at one time: enough to be quick, few enough for an API server with other things to do.
const AT_ONCE: usize = 16;

/// `cilium.nodes.ensure`.
pub(crate) struct NodesEnsure(pub(crate) Arc<Api>);

/// How the `CiliumNode`s of a cluster are to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodesInput {
    /// The nodes; others are left alone, and so is one that has no `CiliumNode` yet.
    nodes: Vec<WantedNode>,
}

/// How a `CiliumNode` is to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WantedNode {
    /// The node's name.
    name: String,
    /// The blocks that the node's pods get addresses from.
    pod_cidrs: Vec<Prefix>,
}

/// The `CiliumNode`s.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NodesOutput {
    /// Nodes for which Cilium's agent has made none.
    pub missing: Vec<String>,
    /// How many are as they are to be.
    pub count: usize,
}

impl NodesEnsure {
    async fn give(&self, cx: &ActionContext, wanted: &WantedNode) -> Result<(), ActionError> {
        give(&self.0, cx, &wanted.name, &wanted.pod_cidrs).await
    }
}

impl Resource for NodesEnsure {
    type Desired = NodesInput;
    /// Blocks by name.
    type Actual = BTreeMap<String, Value>;
    type Output = NodesOutput;
    const NAME: &'static str = "cilium.nodes.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that CiliumNodes name the blocks of their nodes' pods.";

    async fn read(&self, cx: &ActionContext, _: &NodesInput) -> Result<Option<Self::Actual>, ActionError> {
        let nodes = self.0.list(cx).await?;
        let named = |node: &Value| Some((node.pointer("/metadata/name")?.as_str()?.to_owned(), json!(blocks(node))));
        Ok(Some(nodes.iter().filter_map(named).collect()))
    }

    fn diff(&self, wanted: &NodesInput, actual: Option<&Self::Actual>) -> Result<Vec<Difference>, ActionError> {
        let differing = differing(wanted, actual);
        Ok(differing
            .filter_map(|(node, before)| Difference::between(&what(&node.name), before.clone(), json!(node.pod_cidrs)))
            .collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        wanted: &NodesInput,
        actual: Option<&Self::Actual>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let writes = differing(wanted, actual).map(|(node, _)| Ok(self.give(cx, node)));
        let writes: Vec<_> = writes.collect();
        stream::iter(writes).try_for_each_concurrent(AT_ONCE, |write| write).await
    }

    fn output(
        &self,
        _: &ActionContext,
        wanted: &NodesInput,
        actual: &Self::Actual,
    ) -> Result<NodesOutput, ActionError> {
        let missing: Vec<_> =
            wanted.nodes.iter().map(|node| &node.name).filter(|name| !actual.contains_key(*name)).cloned().collect();
        Ok(NodesOutput { count: wanted.nodes.len() - missing.len(), missing })
    }
}

impl RequiredPermissions for NodesEnsure {
    const PERMISSIONS: &'static [Permission] = &[may("list ciliumnodes.cilium.io"), may("patch ciliumnodes.cilium.io")];
}

/// The nodes whose `CiliumNode` is there and has other blocks, with those.
fn differing<'a>(
    wanted: &'a NodesInput,
    actual: Option<&'a BTreeMap<String, Value>>,
) -> impl Iterator<Item = (&'a WantedNode, &'a Value)> {
    let known = wanted.nodes.iter().filter_map(move |node| Some((node, actual?.get(&node.name)?)));
    known.filter(|(node, blocks)| **blocks != json!(node.pod_cidrs))
}

fn what(name: &str) -> String {
    format!("pod blocks of CiliumNode {name}")
}
