//! Implementation of the commands `up` and `down`: the workflows `deploy` and `teardown` with the
//! inputs of `stargate.yaml`.

use std::io::IsTerminal as _;

use super::{plan, run};
use crate::cli::{
    Failure, Settings,
    args::{DeploymentArgs, PlanArgs, RunArgs, WorkflowArgs},
    deployment::{self, CREATION, REMOVAL},
    exit::Exit,
    questions, ui,
};

/// Command `up`: creates or completes the deployment, after a preview and a question on a terminal.
///
/// # Errors
///
/// Those of `plan` and `run`, and a usage failure without a file, or where nobody can be asked.
pub(crate) async fn up(settings: &Settings, args: DeploymentArgs) -> Result<Exit, Failure> {
    change(settings, CREATION, args).await
}

/// Command `down`: removes the deployment, after a preview and a question on a terminal.
///
/// # Errors
///
/// Those of [`up`].
pub(crate) async fn down(settings: &Settings, args: DeploymentArgs) -> Result<Exit, Failure> {
    change(settings, REMOVAL, args).await
}

/// Shows what `workflow` would change, asks, and runs it.
async fn change(settings: &Settings, workflow: &str, args: DeploymentArgs) -> Result<Exit, Failure> {
    let DeploymentArgs { inputs, yes, plan: reviewed, execution } = args;
    let workflow = deployment::of_inputs(workflow, inputs)?;
    if !yes && reviewed.is_none() {
        if !std::io::stdin().is_terminal() {
            let message = "standard input is not a terminal: nobody can be asked";
            return Err(Failure::usage(message, "look at `stargate plan`, then add `--yes`"));
        }
        let (name, inputs) = (workflow.workflow.clone(), workflow.inputs.clone());
        let shown = PlanArgs { workflow: Some(name), inputs, out: None };
        let planned = plan::plan(settings, &shown).await?;
        if planned == Exit::Success {
            return Ok(planned);
        }
        if !questions::is_confirmed("Make these changes?").await? {
            ui::err("nothing was changed");
            return Ok(Exit::Cancelled);
        }
    }
    let WorkflowArgs { workflow, inputs } = workflow;
    run::workflow(settings, &RunArgs { workflow: Some(workflow), inputs, plan: reviewed, yes: true, execution }).await
}
