use std::{sync::Arc, time::Duration};

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

/// The agent makes the object when it starts on the node, which takes it some seconds.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// `cilium.node.ensure`.
pub(crate) struct NodeEnsure(pub(crate) Arc<Api>);

/// How a `CiliumNode` is to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeInput {
    /// The node's name. Its `CiliumNode` need not be there yet.
    name: String,
    /// The blocks that the node's pods get addresses from.
    pod_cidrs: Vec<Prefix>,
}

/// The `CiliumNode`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NodeOutput {
    /// The node's name.
    pub name: String,
    /// The blocks in force.
    pub pod_cidrs: Vec<String>,
}

impl NodeEnsure {
    /// Waits until Cilium's agent on the node has made the object: we never make it in its place.
    async fn wait(&self, cx: &ActionContext, name: &str) -> Result<(), ActionError> {
        let mut pause = Duration::from_millis(100);
        while self.0.get(cx, name).await?.is_none() {
            let obstacle = format!("CiliumNode {name:?}: Cilium's agent on the node has not made it yet");
            cx.progress(&obstacle);
            cx.sleep(pause).await.map_err(|e| gave_up(e, &obstacle))?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Ok(())
    }
}

impl Resource for NodeEnsure {
    type Desired = NodeInput;
    type Actual = Value;
    type Output = NodeOutput;
    const NAME: &'static str = "cilium.node.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a CiliumNode names the blocks of its node's pods.";

    async fn read(&self, cx: &ActionContext, wanted: &NodeInput) -> Result<Option<Value>, ActionError> {
        self.0.get(cx, &wanted.name).await
    }

    fn diff(&self, wanted: &NodeInput, actual: Option<&Value>) -> Result<Vec<Difference>, ActionError> {
        let before = actual.map_or(Value::Null, |node| json!(blocks(node)));
        Ok(Difference::between("pod blocks", before, json!(wanted.pod_cidrs)).into_iter().collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        wanted: &NodeInput,
        _: Option<&Value>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        self.wait(cx, &wanted.name).await?;
        give(&self.0, cx, &wanted.name, &wanted.pod_cidrs).await
    }

    fn output(&self, _: &ActionContext, wanted: &NodeInput, actual: &Value) -> Result<NodeOutput, ActionError> {
        let pod_cidrs = blocks(actual).into_iter().map(str::to_owned).collect();
        Ok(NodeOutput { name: wanted.name.clone(), pod_cidrs })
    }
}

impl RequiredPermissions for NodeEnsure {
    const PERMISSIONS: &'static [Permission] = &[may("get ciliumnodes.cilium.io"), may("patch ciliumnodes.cilium.io")];
}

fn gave_up(error: ActionError, obstacle: &str) -> ActionError {
    error.context(obstacle).with_hint(
        "the agent runs on nodes that have the label kubernetes.azure.com/ebpf-dataplane=cilium; see whether its pod is there",
    )
}
