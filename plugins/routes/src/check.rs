use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Preview, Recovery, RequiredPermissions};

use crate::{
    action::conflict_error,
    conflict::Conflict,
    desired::{CloudRoute, UnroutedNode},
    path::{Findings, SubnetFacts, SubnetPath, TailnetFacts, subnet_findings, tailnet_findings},
};

/// Action `routes.path.check`: checks that security groups and routes of a subnet let pod packets
/// pass.
pub(crate) struct PathCheck;

/// Action `routes.tailnet.check`: checks that no other device of the tailnet takes packets from the
/// routers.
pub(crate) struct TailnetPathCheck;

/// Action `routes.nodes.check`: checks that there are routes to the pods of all nodes.
///
/// The other nodes have their routes already: a node that is not complete, or conflicts with other
/// facts, fails this step only.
pub(crate) struct NodesCheck;

/// Nodes without routes, as `routes.desired.compute` lists them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodesCheckInput {
    /// Nodes to whose pods there is no route.
    unrouted: Vec<UnroutedNode>,
}

/// A subnet on the path, and the packets that it must let pass.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PathCheckInput {
    /// The subnet with its security groups and its routes.
    subnet: SubnetFacts,
    /// Packets that it must let pass.
    path: SubnetPath,
    /// Desired routes of its table.
    routes: Vec<CloudRoute>,
}

/// Result of a check that found no blocker.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CheckOutput {
    /// Texts for people about entries that drop no packets of pods, or few.
    pub warnings: Vec<String>,
}

impl RequiredPermissions for PathCheck {}

impl Action for PathCheck {
    type Input = PathCheckInput;
    type Output = CheckOutput;
    const NAME: &'static str = "routes.path.check";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Checks that security groups and routes of a subnet let the packets of pods pass.";

    async fn run(&self, cx: &ActionContext, input: &PathCheckInput) -> Result<CheckOutput, ActionError> {
        output(cx, subnet_findings(&input.subnet, &input.path, &input.routes))
    }

    async fn preview(&self, cx: &ActionContext, input: &PathCheckInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for NodesCheck {}

impl Action for NodesCheck {
    type Input = NodesCheckInput;
    type Output = CheckOutput;
    const NAME: &'static str = "routes.nodes.check";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Checks that there are routes to the pods of all nodes.";

    async fn run(&self, cx: &ActionContext, input: &NodesCheckInput) -> Result<CheckOutput, ActionError> {
        let blockers = input.unrouted.iter().map(unrouted_conflict).collect();
        output(cx, Findings { blockers, warnings: Vec::new() })
    }

    async fn preview(&self, cx: &ActionContext, input: &NodesCheckInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

fn unrouted_conflict(UnroutedNode { name, reason, hint }: &UnroutedNode) -> Conflict {
    let incomplete = || "run the workflow again when it is complete, or delete it".to_owned();
    let advice = hint.clone().unwrap_or_else(incomplete);
    Conflict::new(
        format!("no route leads to the pods of node {name}: {reason}; no entry was removed meanwhile"),
        format!("`kubectl get node {name} -o yaml` shows it: {advice}"),
    )
}

impl RequiredPermissions for TailnetPathCheck {}

impl Action for TailnetPathCheck {
    type Input = TailnetFacts;
    type Output = CheckOutput;
    const NAME: &'static str = "routes.tailnet.check";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Checks that no other device of the tailnet takes packets from the routers.";

    async fn run(&self, cx: &ActionContext, facts: &TailnetFacts) -> Result<CheckOutput, ActionError> {
        output(cx, tailnet_findings(facts))
    }

    async fn preview(&self, cx: &ActionContext, facts: &TailnetFacts) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, facts).await?)
    }
}

/// Logs the warnings; an error with all blockers if there are any.
fn output(cx: &ActionContext, findings: Findings) -> Result<CheckOutput, ActionError> {
    findings.warnings.iter().for_each(|warning| cx.log(format!("warning: {warning}")));
    if findings.blockers.is_empty() {
        return Ok(CheckOutput { warnings: findings.warnings });
    }
    Err(conflict_error(&findings.blockers))
}
