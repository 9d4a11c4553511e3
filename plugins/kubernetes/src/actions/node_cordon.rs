use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_kubernetes_client::{KubeClient, NODES, ObjectName, permission};
use stargate_sdk::{ActionContext, ActionError, Difference, Permission, RequiredPermissions, Resource};

use crate::node::{is_cordoned, missing_node_error};

/// Action `kubernetes.node.cordon`: makes a node refuse or accept new pods.
pub(crate) struct NodeCordon(pub(crate) Arc<KubeClient>);

/// Desired state of a node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeCordonInput {
    /// Name of the node.
    name: String,
    /// True if no new pods may be scheduled on the node.
    #[serde(default = "yes")]
    cordoned: bool,
    /// True if a missing node is not an error.
    #[serde(default)]
    if_exists: bool,
}

fn yes() -> bool {
    true
}

/// Actual state of the node.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NodeCordonOutput {
    /// Name of the node.
    pub name: String,
    /// False if the node does not exist.
    pub exists: bool,
    /// True if no new pods are scheduled on the node.
    pub cordoned: bool,
}

/// The `Node`; `None` if it does not exist and `if_exists` is set.
pub(crate) struct CordonActual(Option<Value>);

impl Resource for NodeCordon {
    type Desired = NodeCordonInput;
    type Actual = CordonActual;
    type Output = NodeCordonOutput;
    const NAME: &'static str = "kubernetes.node.cordon";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes a node refuse new pods, or accept them again.";

    async fn read(&self, cx: &ActionContext, desired: &NodeCordonInput) -> Result<Option<CordonActual>, ActionError> {
        match self.0.get(cx, &NODES, ObjectName::cluster(&desired.name)).await? {
            None if !desired.if_exists => Err(missing_node_error(&desired.name)),
            node => Ok(Some(CordonActual(node))),
        }
    }

    fn diff(&self, desired: &NodeCordonInput, actual: Option<&CordonActual>) -> Result<Vec<Difference>, ActionError> {
        let node = actual.and_then(|actual| actual.0.as_ref());
        let difference = node.and_then(|node| Difference::between("cordoned", is_cordoned(node), desired.cordoned));
        Ok(difference.into_iter().collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &NodeCordonInput,
        _: Option<&CordonActual>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let unschedulable = if desired.cordoned { Value::Bool(true) } else { Value::Null };
        let patch = json!({"spec": {"unschedulable": unschedulable}});
        self.0.merge(cx, &NODES, ObjectName::cluster(&desired.name), None, patch).await?;
        Ok(())
    }

    fn output(
        &self,
        _: &ActionContext,
        desired: &NodeCordonInput,
        actual: &CordonActual,
    ) -> Result<NodeCordonOutput, ActionError> {
        let cordoned = actual.0.as_ref().is_some_and(is_cordoned);
        Ok(NodeCordonOutput { name: desired.name.clone(), exists: actual.0.is_some(), cordoned })
    }
}

impl RequiredPermissions for NodeCordon {
    const PERMISSIONS: &'static [Permission] = &[permission("get nodes"), permission("patch nodes")];
}
