use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_kubernetes_client::{KubeClient, NODES, ObjectName, permission};
use stargate_sdk::{ActionContext, ActionError, Difference, Permission, RequiredPermissions, Resource};

use crate::node::{CORDONED_BY, cordoned_by, is_cordoned, missing_node_error};

/// Action `kubernetes.node.cordon`: makes a node refuse or accept new pods.
///
/// The run that cordons a node is recorded in an annotation, in the same write. A node that is
/// cordoned already keeps the record that it has, or has none: then the cordon is that of another
/// party.
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
    /// True if only a cordon of this program is removed: one that another party made stays, with a
    /// warning.
    #[serde(default)]
    managed_only: bool,
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
        match self.0.get(cx, &NODES, ObjectName::cluster(&desired.name)?).await? {
            None if !desired.if_exists => Err(missing_node_error(&desired.name)),
            node => Ok(Some(CordonActual(node))),
        }
    }

    fn diff(&self, desired: &NodeCordonInput, actual: Option<&CordonActual>) -> Result<Vec<Difference>, ActionError> {
        let node = actual.and_then(|actual| actual.0.as_ref());
        let Some(node) = node.filter(|node| !keeps_cordon(desired, node)) else { return Ok(Vec::new()) };
        let cordon = Difference::between("cordoned", is_cordoned(node), desired.cordoned);
        // Left by a cordon that another party has removed.
        let stale = cordoned_by(node).filter(|_| !desired.cordoned && cordon.is_none());
        let record = stale.map(|run| Difference::new(CORDONED_BY, run, Value::Null));
        Ok(cordon.into_iter().chain(record).collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &NodeCordonInput,
        _: Option<&CordonActual>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let (unschedulable, run) =
            if desired.cordoned { (Value::Bool(true), json!(cx.run())) } else { (Value::Null, Value::Null) };
        let patch = json!({"metadata": {"annotations": {CORDONED_BY: run}}, "spec": {"unschedulable": unschedulable}});
        self.0.merge(cx, &NODES, ObjectName::cluster(&desired.name)?, None, patch).await?;
        Ok(())
    }

    fn output(
        &self,
        cx: &ActionContext,
        desired: &NodeCordonInput,
        actual: &CordonActual,
    ) -> Result<NodeCordonOutput, ActionError> {
        if actual.0.as_ref().is_some_and(|node| keeps_cordon(desired, node)) {
            cx.log(format!(
                "warning: node {0:?} stays cordoned, because another party cordoned it; `kubectl uncordon {0}` makes \
                 it schedulable",
                desired.name
            ));
        }
        let cordoned = actual.0.as_ref().is_some_and(is_cordoned);
        Ok(NodeCordonOutput { name: desired.name.clone(), exists: actual.0.is_some(), cordoned })
    }
}

/// True if the node keeps a cordon that another party made.
fn keeps_cordon(desired: &NodeCordonInput, node: &Value) -> bool {
    !desired.cordoned && desired.managed_only && is_cordoned(node) && cordoned_by(node).is_none()
}

impl RequiredPermissions for NodeCordon {
    const PERMISSIONS: &'static [Permission] = &[permission("get nodes"), permission("patch nodes")];
}
