use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_client::{Backoff, WaitState, Waiter};
use stargate_kubernetes_client::{KubeClient, NODES, ObjectName, json::uid, permission};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Permission, Preview, Recovery, RequiredPermissions};

use crate::node::{internal_ip, is_ready, kubelet_version, not_ready_reason};

/// A kubelet registers its node within seconds, and is ready when its network plugin is.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
const NOT_READY_HINT: &str = "`journalctl -u kubelet` on the machine shows the cause";

/// Action `kubernetes.node.wait`: waits until a node has registered, is ready and runs a version.
pub(crate) struct NodeWait(pub(crate) Arc<KubeClient>);

/// Expected state of a node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeWaitInput {
    /// Name of the node.
    name: String,
    /// True if the node must be ready; false waits for its registration only.
    #[serde(default = "yes")]
    ready: bool,
    /// Version that its kubelet must report, with or without the `v`.
    #[serde(default)]
    version: Option<String>,
}

fn yes() -> bool {
    true
}

/// Actual state of the node.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NodeWaitOutput {
    /// Name of the node.
    pub name: String,
    /// Uid of the node: another one if the node was deleted and has registered again.
    pub uid: String,
    /// Internal address of the node.
    pub internal_ip: String,
    /// True if the node is ready.
    pub ready: bool,
    /// Version of its kubelet, such as `v1.33.5`.
    pub kubelet_version: String,
}

impl Action for NodeWait {
    type Input = NodeWaitInput;
    type Output = NodeWaitOutput;
    const NAME: &'static str = "kubernetes.node.wait";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Waits until a node has registered, is ready, and runs the expected version.";

    async fn run(&self, cx: &ActionContext, input: &NodeWaitInput) -> Result<NodeWaitOutput, ActionError> {
        let read = || async {
            let reason = match self.0.get(cx, &NODES, ObjectName::cluster(&input.name)?).await? {
                None => "has not registered yet".to_owned(),
                Some(node) => match pending_reason(&node, input) {
                    None => return Ok(WaitState::Ready(output(&node, input))),
                    Some(reason) => reason,
                },
            };
            Ok(WaitState::pending(format!("node {:?}: {reason}", input.name)))
        };
        Waiter::new(cx, BACKOFF).with_hint(NOT_READY_HINT).poll(read).await
    }

    async fn preview(&self, cx: &ActionContext, input: &NodeWaitInput) -> Result<Preview, ActionError> {
        match self.0.get(cx, &NODES, ObjectName::cluster(&input.name)?).await? {
            Some(node) if pending_reason(&node, input).is_none() => Preview::unchanged(&output(&node, input)),
            // The node can reach the expected state while the action waits.
            _ => Ok(Preview::Opaque),
        }
    }
}

impl RequiredPermissions for NodeWait {
    const PERMISSIONS: &'static [Permission] = &[permission("get nodes")];
}

/// Reason for which the node is not in the expected state; `None` if it is.
fn pending_reason(node: &Value, input: &NodeWaitInput) -> Option<String> {
    let actual = kubelet_version(node);
    let expected = input.version.as_deref().map(|version| version.trim_start_matches('v'));
    if let Some(expected) = expected.filter(|expected| actual.trim_start_matches('v') != *expected) {
        return Some(format!("its kubelet is {actual}, not {expected}"));
    }
    (input.ready && !is_ready(node)).then(|| format!("is not ready: {}", not_ready_reason(node)))
}

fn output(node: &Value, input: &NodeWaitInput) -> NodeWaitOutput {
    NodeWaitOutput {
        name: input.name.clone(),
        uid: uid(node).to_owned(),
        internal_ip: internal_ip(node),
        ready: is_ready(node),
        kubelet_version: kubelet_version(node),
    }
}
