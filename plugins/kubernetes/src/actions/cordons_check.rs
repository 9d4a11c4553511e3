use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_kubernetes_client::{KubeClient, json::name, permission};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Permission, Preview, Recovery, RequiredPermissions};

use crate::{
    lease::is_lock_held,
    node::{cordoned_by, has_configuration, is_cordoned},
};

/// Action `kubernetes.cordons.check`: names the nodes that a run of this program has cordoned and
/// not made schedulable again.
///
/// A node whose lock a run holds is not named: that run is working on it. Neither is a node that
/// another party has cordoned.
pub(crate) struct CordonsCheck(pub(crate) Arc<KubeClient>);

/// Cluster whose nodes are checked.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CordonsCheckInput {
    /// Name of the cluster, as in the locks `worker/CLUSTER/NODE`.
    cluster: String,
}

/// The nodes that were left cordoned.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CordonsCheckOutput {
    /// Names of the nodes, sorted.
    pub nodes: Vec<String>,
    /// A text for each node, with the command that makes it schedulable.
    pub warnings: Vec<String>,
}

impl Action for CordonsCheck {
    type Input = CordonsCheckInput;
    type Output = CordonsCheckOutput;
    const NAME: &'static str = "kubernetes.cordons.check";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Names nodes that an unfinished run has left cordoned.";

    async fn run(&self, cx: &ActionContext, input: &CordonsCheckInput) -> Result<CordonsCheckOutput, ActionError> {
        let mut nodes = self.0.nodes(cx, None).await?;
        nodes.sort_by(|a, b| name(a).cmp(name(b)));
        let mut output = CordonsCheckOutput { nodes: Vec::new(), warnings: Vec::new() };
        for node in nodes.iter().filter(|node| is_cordoned(node)) {
            let Some(run) = cordoned_by(node) else { continue };
            if is_lock_held(&self.0, cx, &format!("worker/{}/{}", input.cluster, name(node))).await? {
                continue;
            }
            let warning = warning(node, run, &input.cluster);
            cx.log(format!("warning: {warning}"));
            output.nodes.push(name(node).to_owned());
            output.warnings.push(warning);
        }
        Ok(output)
    }

    async fn preview(&self, cx: &ActionContext, input: &CordonsCheckInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for CordonsCheck {
    const PERMISSIONS: &'static [Permission] =
        &[permission("list nodes"), permission("get leases.coordination.k8s.io -n kube-system")];
}

/// Text about a node that a run has left cordoned. If the node still has the configuration of a
/// complete repave, its host was not changed since.
fn warning(node: &Value, run: &str, cluster: &str) -> String {
    let name = name(node);
    let uncordon = format!("`kubectl uncordon {name}`");
    let repave = format!("`stargate run workflow repave-worker --input cluster={cluster} --input worker={name} …`");
    let advice = if has_configuration(node) {
        format!("its host is unchanged: {uncordon} makes it schedulable, and so does {repave}")
    } else {
        format!("{repave} completes its host and makes it schedulable; {uncordon} makes it schedulable as it is")
    };
    format!("node {name:?} is still cordoned by run {run}, which did not finish; {advice}")
}
