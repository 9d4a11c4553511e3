use std::{sync::Arc, time::Duration};

use stargate::{
    engine::CancelResult,
    id::RunId,
    journal::{self, Journal},
    run::Outcome,
};

use crate::cli::{
    Failure, Settings,
    args::{CancelArgs, Output},
    exit::Exit,
    hint, runs, session, ui,
};

/// How long the process that advances a run is given to let go: more than its attempts get.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(30);
/// How often it is looked whether it has.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// `cancel`: ends a run for good.
pub(crate) async fn cancel(settings: &Settings, args: &CancelArgs) -> Result<Exit, Failure> {
    let Some(journal) = journal::open_existing(&settings.journal).await? else { return Err(runs::no_runs()) };
    let run = select_run(&*journal, args.run.as_deref()).await?;
    let engine = session::start_engine_without_reporter(settings, Arc::clone(&journal))?;
    let message = match engine.cancel(run.clone()).await? {
        CancelResult::Cancelled => format!("run {run} is cancelled"),
        CancelResult::AlreadyFinished(Outcome::Cancelled) => format!("run {run} was cancelled before"),
        CancelResult::AlreadyFinished(_) => {
            let message = format!("run {run} has succeeded: there is nothing to cancel");
            return Err(Failure::usage(message, hint::history(&run)));
        }
        CancelResult::Requested(owner) if wait_for_end(&*journal, &run).await? => {
            format!("run {run} is cancelled: {owner} has let go")
        }
        CancelResult::Requested(owner) => {
            let message = format!("run {run} is to end, and {owner} has not let go of it yet");
            return Err(Failure::new(Exit::Owned, message, hint::history(&run)));
        }
    };
    match settings.output {
        Output::Text => ui::err(&message),
        Output::Json => {
            ui::out_json(&serde_json::json!({ "run": run, "outcome": Outcome::Cancelled.name(), "message": message }))
        }
    }
    Ok(Exit::Success)
}

/// The run that is asked for; without one, the only one that has not ended.
async fn select_run(journal: &dyn Journal, argument: Option<&str>) -> Result<RunId, Failure> {
    if let Some(text) = argument {
        return runs::find(journal, text).await;
    }
    let open: Vec<_> = journal.runs(u32::MAX).await?.into_iter().filter(|row| row.status.is_running()).collect();
    match open.as_slice() {
        [row] => Ok(row.id.clone()),
        [] => Err(Failure::usage("every run in the journal has ended", hint::runs())),
        many => {
            Err(Failure::usage(format!("{} runs have not ended: name the one that is meant", many.len()), hint::runs()))
        }
    }
}

/// Waits until the process that advances the run has ended it.
async fn wait_for_end(journal: &dyn Journal, run: &RunId) -> Result<bool, Failure> {
    let until = tokio::time::Instant::now() + CANCEL_TIMEOUT;
    while tokio::time::Instant::now() < until {
        if !journal.load(run.clone()).await?.row.status.is_running() {
            return Ok(true);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(false)
}
