use std::{collections::BTreeSet, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_sdk::{Action, ActionContext, ActionError, Permission, Recovery, RequiredPermissions};
use tokio::time::Instant;

use crate::{
    api::Api,
    drain_plan::{Pod, check, leaving},
    eviction::{FIRST_PAUSE, LONGEST_PAUSE, Refused, evict},
    kind::{At, NODES, PODS},
    node_cordon::{is_cordoned, missing},
    permission::may,
    timeout,
};

/// `kubernetes.node.drain`.
pub(crate) struct NodeDrain(pub(crate) Arc<Api>);

/// Which node to empty, and what may be lost by it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DrainInput {
    /// The node's name. It has to be cordoned.
    name: String,
    /// How long this may take, such as `10m`; the step's own timeout by default.
    #[serde(default)]
    timeout: Option<String>,
    /// Whether pods without a controller may be lost.
    #[serde(default)]
    force: bool,
    /// Whether data in emptyDir volumes may be lost.
    #[serde(default)]
    delete_local_data: bool,
    /// Whether a node that is not there is fine.
    #[serde(default)]
    if_exists: bool,
}

/// What has left.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct DrainOutput {
    /// The pods that were evicted, as `namespace/name`.
    pub evicted: Vec<String>,
}

impl NodeDrain {
    async fn on_node(&self, cx: &ActionContext, node: &str) -> Result<Vec<Pod>, ActionError> {
        let selector = format!("spec.nodeName={node}");
        let pods = self.0.list(cx, &PODS, None, Some(("fieldSelector", &selector))).await?.unwrap_or_default();
        Ok(leaving(&pods))
    }

    /// Asks for every pod's eviction once. Tells what is in the way.
    async fn round(&self, cx: &ActionContext, pods: &[Pod]) -> Result<(Vec<String>, Duration), ActionError> {
        let (mut obstacles, mut patience) = (Vec::new(), Duration::ZERO);
        for pod in pods {
            if pod.is_leaving {
                obstacles.push(format!("pod {} is still ending", pod.label()));
            } else if let Some(Refused { why, retry_after }) = evict(&self.0, cx, pod).await? {
                obstacles.push(why);
                patience = patience.max(retry_after.unwrap_or_default());
            }
        }
        Ok((obstacles, patience))
    }

    async fn empty(
        &self,
        cx: &ActionContext,
        input: &DrainInput,
        until: Option<Instant>,
    ) -> Result<BTreeSet<String>, ActionError> {
        let (mut chosen, mut pause) = (chosen_before(cx), FIRST_PAUSE);
        loop {
            let pods = self.on_node(cx, &input.name).await?;
            if pods.is_empty() {
                return Ok(chosen);
            }
            check(&pods, input.force, input.delete_local_data).map_err(|e| e.context(label(&input.name)))?;
            remember(cx, &mut chosen, &pods).await?;
            let (obstacles, patience) = self.round(cx, &pods).await?;
            let obstacles = format!("{}: {}", label(&input.name), obstacles.join("; "));
            cx.progress(&obstacles);
            wait(cx, pause.max(patience), until).await.map_err(|e| e.context(&obstacles))?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

impl Action for NodeDrain {
    type Input = DrainInput;
    type Output = DrainOutput;
    const NAME: &'static str = "kubernetes.node.drain";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Evicts the pods of a cordoned node, as their disruption budgets allow.";

    async fn run(&self, cx: &ActionContext, input: &DrainInput) -> Result<DrainOutput, ActionError> {
        let span = input.timeout.as_deref().map(|text| timeout::parse("timeout", text)).transpose()?;
        match self.0.get(cx, &NODES, At::cluster(&input.name)).await? {
            None if input.if_exists => return Ok(DrainOutput { evicted: Vec::new() }),
            None => return Err(missing(&input.name)),
            Some(node) if !is_cordoned(&node) => {
                return Err(ActionError::permanent(format!(
                    "{} is not cordoned: what leaves it would come back",
                    label(&input.name)
                ))
                .with_hint("cordon it first, with kubernetes.node.cordon"));
            }
            Some(_) => {}
        }
        let evicted = self.empty(cx, input, span.map(|span| Instant::now() + span)).await?;
        Ok(DrainOutput { evicted: evicted.into_iter().collect() })
    }
}

impl RequiredPermissions for NodeDrain {
    const PERMISSIONS: &'static [Permission] =
        &[may("get nodes"), may("list pods"), may("create pods --subresource=eviction")];
}

fn label(node: &str) -> String {
    format!("node {node:?}")
}

async fn wait(cx: &ActionContext, pause: Duration, until: Option<Instant>) -> Result<(), ActionError> {
    match until {
        Some(until) if Instant::now() + pause > until => Err(ActionError::transient("gave up: the drain's timeout")),
        _ => cx.sleep(pause).await,
    }
}

/// What earlier attempts have set out to evict: it counts as evicted, though it is no longer seen.
fn chosen_before(cx: &ActionContext) -> BTreeSet<String> {
    let checkpoint = cx.checkpoint().unwrap_or(Value::Null);
    serde_json::from_value(checkpoint["evicting"].clone()).unwrap_or_default()
}

/// Stores which pods are about to be evicted, where they are news.
async fn remember(cx: &ActionContext, chosen: &mut BTreeSet<String>, pods: &[Pod]) -> Result<(), ActionError> {
    let before = chosen.len();
    chosen.extend(pods.iter().map(Pod::label));
    if chosen.len() > before {
        cx.save_checkpoint(json!({"evicting": chosen})).await?;
    }
    Ok(())
}
