use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_client::{Backoff, Prefix, WaitState, Waiter};
use stargate_kubernetes_client::{CILIUM_NODES, KubeClient, ObjectName, permission};
use stargate_sdk::{ActionContext, ActionError, Difference, Permission, RequiredPermissions, Resource};

use crate::cilium_node::{apply_pod_cidrs, pod_cidrs};

/// The agent creates the object some seconds after it has started on the node.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
const NO_OBJECT_HINT: &str = "the agent runs on nodes with the label kubernetes.azure.com/ebpf-dataplane=cilium; check that its pod on the node runs";

/// Action `cilium.node.ensure`: makes the pod CIDRs of a `CiliumNode` equal the input.
pub(crate) struct NodeEnsure(pub(crate) Arc<KubeClient>);

/// Desired state of one `CiliumNode`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CiliumNodeInput {
    /// Name of the node. Its `CiliumNode` need not exist yet.
    name: String,
    /// Prefixes from which the node's pods get addresses.
    pod_cidrs: Vec<Prefix>,
}

/// Actual state of the `CiliumNode`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CiliumNodeOutput {
    /// Name of the node.
    pub name: String,
    /// Prefixes from which the node's pods get addresses.
    pub pod_cidrs: Vec<String>,
}

impl NodeEnsure {
    async fn get(&self, cx: &ActionContext, name: &str) -> Result<Option<Value>, ActionError> {
        self.0.get(cx, &CILIUM_NODES, ObjectName::cluster(name)?).await
    }

    /// Waits until Cilium's agent on the node has created the object; only the agent does.
    async fn wait_until_created(&self, cx: &ActionContext, name: &str) -> Result<(), ActionError> {
        let read = || async {
            Ok(match self.get(cx, name).await? {
                Some(_) => WaitState::Ready(()),
                None => WaitState::pending(format!("CiliumNode {name:?}: not yet created by Cilium's agent")),
            })
        };
        Waiter::new(cx, BACKOFF).with_hint(NO_OBJECT_HINT).poll(read).await
    }
}

impl Resource for NodeEnsure {
    type Desired = CiliumNodeInput;
    type Actual = Value;
    type Output = CiliumNodeOutput;
    const NAME: &'static str = "cilium.node.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes the pod CIDRs of a CiliumNode equal the input.";

    async fn read(&self, cx: &ActionContext, desired: &CiliumNodeInput) -> Result<Option<Value>, ActionError> {
        self.get(cx, &desired.name).await
    }

    fn diff(&self, desired: &CiliumNodeInput, actual: Option<&Value>) -> Result<Vec<Difference>, ActionError> {
        let before = actual.map_or(Value::Null, |node| json!(pod_cidrs(node)));
        Ok(Difference::between("pod CIDRs", before, json!(desired.pod_cidrs)).into_iter().collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &CiliumNodeInput,
        _: Option<&Value>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        self.wait_until_created(cx, &desired.name).await?;
        apply_pod_cidrs(&self.0, cx, &desired.name, &desired.pod_cidrs).await
    }

    fn output(
        &self,
        _: &ActionContext,
        desired: &CiliumNodeInput,
        actual: &Value,
    ) -> Result<CiliumNodeOutput, ActionError> {
        let pod_cidrs = pod_cidrs(actual).into_iter().map(str::to_owned).collect();
        Ok(CiliumNodeOutput { name: desired.name.clone(), pod_cidrs })
    }
}

impl RequiredPermissions for NodeEnsure {
    const PERMISSIONS: &'static [Permission] =
        &[permission("get ciliumnodes.cilium.io"), permission("patch ciliumnodes.cilium.io")];
}
