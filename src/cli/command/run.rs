//! Implementation of the command `run workflow`.
//!
//! Errors in the workflow, its inputs or the settings are reported before the journal is opened, so
//! they leave no run behind.

use super::reviewed;
use crate::cli::{
    Failure, Settings,
    args::{RunArgs, WorkflowArgs},
    exit::Exit,
    inputs,
    planned::PlannedWorkflow,
    questions, reporter, runs,
    session::Session,
    ui,
    workflow_text::WorkflowText,
};

/// Command `run workflow`: checks the workflow, creates a run and executes it until no step is
/// left.
pub(crate) async fn workflow(settings: &Settings, args: &RunArgs) -> Result<Exit, Failure> {
    let PlannedWorkflow { plan, actions } = planned(settings, args).await?;
    if !args.yes && questions::can_ask(settings) && !questions::confirm_deletions(&plan, &actions.0).await? {
        ui::err("nothing was changed");
        return Ok(Exit::Cancelled);
    }
    let session = Session::open(settings, actions, args.execution.parallel.max_parallel).await?;
    let session = session.limited(&args.execution);
    let estimate = runs::usual_duration(&*session.journal, &plan.workflow).await?;
    let view = reporter::for_settings(settings, false, estimate);
    let result = session.run_to_end(view, |engine| async move { engine.run(plan).await }).await?;
    questions::answer_and_resume(settings, &session, result).await?.conclude(settings.output)
}

/// Compiles the plan of the workflow, or reads a reviewed one.
async fn planned(settings: &Settings, args: &RunArgs) -> Result<PlannedWorkflow, Failure> {
    let named = args.workflow.as_ref().map(|name| WorkflowArgs { workflow: name.clone(), inputs: args.inputs.clone() });
    match (&args.plan, named) {
        (None, Some(named)) => {
            let text = WorkflowText::find(&named.workflow)?.with_includes(settings.includes);
            PlannedWorkflow::new(settings, &text, |workflow| inputs::read(&named.inputs, workflow))
        }
        (Some(file), named) => reviewed::prepare(settings, file, named.as_ref()).await,
        (None, None) => Err(Failure::usage("no workflow is named", "run `stargate workflows` to list them")),
    }
}
