//! Implementation of the command `cancel`.
//!
//! Exit codes: 0 if the run is cancelled, also if it was before; 64 if it has succeeded; 75 if its
//! owner is still cancelling steps after the timeout. JSON: `{run, outcome, message}`.

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

/// Maximum time to wait until the owner has cancelled its attempts. It exceeds their grace period.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(30);
/// Interval between two reads of the run's status.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Command `cancel`: ends a run permanently.
///
/// A run without a live owner is cancelled immediately. A live owner receives the request, and the
/// command waits until it has ended the run.
pub(crate) async fn cancel(settings: &Settings, args: &CancelArgs) -> Result<Exit, Failure> {
    let Some(journal) = journal::open_existing(&settings.journal).await? else { return Err(runs::no_runs()) };
    let run = select_run(&*journal, args.run.as_deref()).await?;
    let engine = session::start_engine_without_reporter(settings, Arc::clone(&journal))?;
    let message = match engine.cancel(run.clone()).await? {
        CancelResult::Cancelled => format!("run {run} is cancelled"),
        CancelResult::AlreadyFinished(Outcome::Cancelled) => format!("run {run} was already cancelled"),
        CancelResult::AlreadyFinished(_) => {
            let message = format!("run {run} has succeeded and cannot be cancelled");
            return Err(Failure::usage(message, hint::history(&run)));
        }
        CancelResult::Requested(owner) if wait_for_end(&*journal, &run).await? => {
            format!("run {run} is cancelled; {owner} has released it")
        }
        CancelResult::Requested(owner) => {
            let message = format!("cancellation of run {run} requested; {owner} is still cancelling its steps");
            return Err(Failure::new(Exit::Owned, message, hint::history(&run)));
        }
    };
    match settings.output {
        Output::Text => ui::err(&message),
        Output::Json => {
            ui::out_json(&serde_json::json!({ "run": run, "outcome": Outcome::Cancelled.name(), "message": message }));
        }
    }
    Ok(Exit::Success)
}

/// Returns the run that the argument names; without an argument, the only run that has not ended.
async fn select_run(journal: &dyn Journal, argument: Option<&str>) -> Result<RunId, Failure> {
    if let Some(text) = argument {
        return runs::find(journal, text).await;
    }
    let open: Vec<_> = journal.runs(u32::MAX).await?.into_iter().filter(|row| row.status.is_running()).collect();
    match open.as_slice() {
        [row] => Ok(row.id.clone()),
        [] => Err(Failure::usage("all runs in the journal have ended", hint::runs())),
        many => Err(Failure::usage(format!("{} runs have not ended: add the id of one", many.len()), hint::runs())),
    }
}

/// Waits until the owner has ended the run. Returns false if it has not within [`CANCEL_TIMEOUT`].
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
