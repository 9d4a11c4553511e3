use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_sdk::{
    Action, ActionContext, ActionError, FailureKind, Permission, Preview, Recovery, RequiredPermissions,
};

use crate::{
    api::Api,
    field::uid,
    kind::{At, NODES},
    node_facts::{internal_ip, is_ready, kubelet_version, why_not_ready},
    permission::may,
};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// `kubernetes.node.wait`.
pub(crate) struct NodeWait(pub(crate) Arc<Api>);

/// What to wait for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeWaitInput {
    /// The node's name.
    name: String,
    /// Whether it is to be ready; false waits for its registration only.
    #[serde(default = "yes")]
    ready: bool,
    /// The version its kubelet is to report, with or without the `v`.
    #[serde(default)]
    version: Option<String>,
}

fn yes() -> bool {
    true
}

/// The node.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NodeWaitOutput {
    /// Its name.
    pub name: String,
    /// Its uid: another one after the node was deleted and registered again.
    pub uid: String,
    /// Its address.
    pub internal_ip: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Version of its kubelet.
    pub kubelet_version: String,
}

impl Action for NodeWait {
    type Input = NodeWaitInput;
    type Output = NodeWaitOutput;
    const NAME: &'static str = "kubernetes.node.wait";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Waits until a node has registered, is ready, and runs the version it is to run.";

    async fn run(&self, cx: &ActionContext, input: &NodeWaitInput) -> Result<NodeWaitOutput, ActionError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let obstacle = match self.0.get(cx, &NODES, At::cluster(&input.name)).await {
                Ok(Some(node)) => match obstacle(&node, input) {
                    None => return Ok(output(&node, input)),
                    Some(obstacle) => obstacle,
                },
                Ok(None) => "has not registered yet".to_owned(),
                Err(error) if error.kind == FailureKind::Transient => error.message,
                Err(error) => return Err(error),
            };
            let obstacle = format!("node {:?}: {obstacle}", input.name);
            cx.progress(&obstacle);
            cx.sleep(pause).await.map_err(|e| gave_up(e, &obstacle))?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn preview(&self, cx: &ActionContext, input: &NodeWaitInput) -> Result<Preview, ActionError> {
        match self.0.get(cx, &NODES, At::cluster(&input.name)).await? {
            Some(node) if obstacle(&node, input).is_none() => Preview::unchanged(&output(&node, input)),
            // It may become what it is to be while somebody waits.
            _ => Ok(Preview::Opaque),
        }
    }
}

impl RequiredPermissions for NodeWait {
    const PERMISSIONS: &'static [Permission] = &[may("get nodes")];
}

fn gave_up(error: ActionError, obstacle: &str) -> ActionError {
    error.context(obstacle).with_hint("`journalctl -u kubelet` on the machine tells more")
}

fn obstacle(node: &Value, input: &NodeWaitInput) -> Option<String> {
    let version = kubelet_version(node);
    let wanted = input.version.as_deref().map(|version| version.trim_start_matches('v'));
    if wanted.is_some_and(|wanted| version.trim_start_matches('v') != wanted) {
        return Some(format!("its kubelet is {version}, not {}", wanted.unwrap_or_default()));
    }
    (input.ready && !is_ready(node)).then(|| format!("is not ready: {}", why_not_ready(node)))
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
