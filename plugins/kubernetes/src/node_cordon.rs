use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_sdk::{ActionContext, ActionError, Difference, Permission, RequiredPermissions, Resource};

use crate::{
    api::Api,
    kind::{At, NODES},
    permission::may,
};

/// `kubernetes.node.cordon`.
pub(crate) struct NodeCordon(pub(crate) Arc<Api>);

/// How a node is to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CordonInput {
    /// The node's name.
    name: String,
    /// Whether new pods are kept off it.
    #[serde(default = "yes")]
    cordoned: bool,
    /// Whether a node that is not there is fine.
    #[serde(default)]
    if_exists: bool,
}

fn yes() -> bool {
    true
}

/// The node.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CordonOutput {
    /// The node's name.
    pub name: String,
    /// Whether the node is there.
    pub exists: bool,
    /// Whether new pods are kept off it.
    pub cordoned: bool,
}

/// The Node; `None` when it is not there and need not be.
pub(crate) struct MaybeNode(Option<Value>);

impl Resource for NodeCordon {
    type Desired = CordonInput;
    type Actual = MaybeNode;
    type Output = CordonOutput;
    const NAME: &'static str = "kubernetes.node.cordon";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that new pods are kept off a node, or let onto it.";

    async fn read(&self, cx: &ActionContext, wanted: &CordonInput) -> Result<Option<MaybeNode>, ActionError> {
        match self.0.get(cx, &NODES, At::cluster(&wanted.name)).await? {
            None if !wanted.if_exists => Err(missing(&wanted.name)),
            node => Ok(Some(MaybeNode(node))),
        }
    }

    fn diff(&self, wanted: &CordonInput, actual: Option<&MaybeNode>) -> Result<Vec<Difference>, ActionError> {
        let node = actual.and_then(|actual| actual.0.as_ref());
        let difference = node.and_then(|node| Difference::between("cordoned", is_cordoned(node), wanted.cordoned));
        Ok(difference.into_iter().collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        wanted: &CordonInput,
        _: Option<&MaybeNode>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let unschedulable = if wanted.cordoned { Value::Bool(true) } else { Value::Null };
        let patch = json!({"spec": {"unschedulable": unschedulable}});
        self.0.merge(cx, &NODES, At::cluster(&wanted.name), None, patch).await?;
        Ok(())
    }

    fn output(&self, _: &ActionContext, wanted: &CordonInput, actual: &MaybeNode) -> Result<CordonOutput, ActionError> {
        let cordoned = actual.0.as_ref().is_some_and(is_cordoned);
        Ok(CordonOutput { name: wanted.name.clone(), exists: actual.0.is_some(), cordoned })
    }
}

impl RequiredPermissions for NodeCordon {
    const PERMISSIONS: &'static [Permission] = &[may("get nodes"), may("patch nodes")];
}

/// Whether new pods are kept off the node.
pub(crate) fn is_cordoned(node: &Value) -> bool {
    node["spec"]["unschedulable"] == true
}

/// The node is not there.
pub(crate) fn missing(name: &str) -> ActionError {
    ActionError::permanent(format!("node {name:?}: not found"))
        .with_hint("say `if_exists: true` if it may not be there")
}
