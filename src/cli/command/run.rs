use crate::{
    cli::{Failure, Settings, args::RunArgs, exit::Exit, inputs, reporter, session::Session, workflows::Text},
    wiring,
};

/// `run workflow`: checks the workflow, creates a run and advances it until nothing is left to do.
pub(crate) async fn workflow(settings: &Settings, args: &RunArgs) -> Result<Exit, Failure> {
    let text = Text::find(&args.workflow.workflow)?;
    let actions = wiring::build(settings)?;
    let workflow = text.validate(&actions.0)?;
    let inputs = inputs::read(&args.workflow.inputs, &workflow)?;
    let plan = text.compile(&workflow, &actions.0, inputs)?;
    wiring::require(settings, plan.steps.iter().map(|step| step.action.as_str()))?;
    let session = Session::open(settings, actions, args.parallel.max_parallel).await?;
    let session = session.with_lock_timeout(&args.locks).within(&args.limit);
    let show = reporter::for_settings(settings, false);
    let driven = session.drive(show, |engine| async move { engine.run(plan).await }).await?;
    driven.conclude(settings.output)
}
