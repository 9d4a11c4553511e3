//! Implementation of the command `run workflow`.
//!
//! Errors in the workflow, its inputs or the settings are reported before the journal is opened, so
//! they leave no run behind.

use crate::cli::{
    Failure, Settings, args::RunArgs, exit::Exit, inputs, planned::PlannedWorkflow, reporter, session::Session,
    workflow_text::WorkflowText,
};

/// Command `run workflow`: checks the workflow, creates a run and executes it until no step is
/// left.
pub(crate) async fn workflow(settings: &Settings, args: &RunArgs) -> Result<Exit, Failure> {
    let text = WorkflowText::find(&args.workflow.workflow)?.with_includes(settings.includes);
    let planned = PlannedWorkflow::new(settings, &text, |workflow| inputs::read(&args.workflow.inputs, workflow))?;
    let PlannedWorkflow { plan, actions } = planned;
    let session = Session::open(settings, actions, args.parallel.max_parallel).await?;
    let session = session.with_lock_timeout(&args.locks).with_timeout(&args.limit);
    let view = reporter::for_settings(settings, false);
    let result = session.run_to_end(view, |engine| async move { engine.run(plan).await }).await?;
    result.conclude(settings.output)
}
