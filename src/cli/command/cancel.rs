//! Implementation of the command `cancel`.
//!
//! Exit codes: 0 if the run is cancelled, also if it was before; 64 if it has succeeded; 75 if its
//! owner still renews its lease and is cancelling steps after the timeout. JSON: `{run, outcome,
//! message}`. A run without an owner that has steps under `finally` is resumed for them, with the
//! output and the exit codes of `resume`, except that a run that ends as cancelled is a success.

use std::{sync::Arc, time::Duration};

use stargate::{
    clock::Clock,
    engine::{CancelResult, Engine, ResumePolicy},
    id::RunId,
    journal::{Journal, Owner},
    run::Outcome,
};
use tokio::time::Instant;

use super::resume::resume_one;
use crate::{
    cli::{
        Failure, Settings,
        args::{CancelArgs, Output},
        error,
        exit::Exit,
        hint, journals, runs,
        session::{self, Session},
        ui,
    },
    wiring,
};

/// Maximum time to wait until the owner has cancelled its attempts. It exceeds their grace period.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(30);
/// Time that is waited in addition to a lease, so that its end is seen.
const LEASE_MARGIN: Duration = Duration::from_secs(5);
/// Maximum number of concurrent attempts of steps under `finally`, as usual for a run.
const FINALLY_PARALLEL: u16 = 8;
/// Interval between two reads of the run's status.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Command `cancel`: ends a run permanently.
///
/// A run without a live owner is cancelled immediately. A live owner receives the request, and the
/// command waits until it has ended the run. The run of an owner that is stopped is taken over when
/// its lease has expired.
pub(crate) async fn cancel(settings: &Settings, args: &CancelArgs) -> Result<Exit, Failure> {
    let Some(journal) = journals::open_existing(settings).await? else { return Err(runs::no_runs()) };
    let run = select_run(&*journal, args.run.as_deref()).await?;
    let engine = session::start_engine_without_reporter(settings, Arc::clone(&journal))?;
    let mut result = request(&engine, &run, args).await?;
    if let CancelResult::Requested(owner) = &result {
        report_wait(&*journal, &run, owner).await?;
        if wait_for_end(&*journal, &run, settings.lease).await? == Wait::LeaseExpired {
            result = request(&engine, &run, args).await?;
        }
    }
    let message = match result {
        CancelResult::FinallyLeft => return execute_finally(settings, run).await,
        CancelResult::Cancelled => format!("run {run} is cancelled"),
        CancelResult::AlreadyFinished(Outcome::Cancelled) => format!("run {run} was already cancelled"),
        CancelResult::AlreadyFinished(_) => {
            let message = format!("run {run} has succeeded and cannot be cancelled");
            return Err(Failure::usage(message, hint::history(&run)));
        }
        CancelResult::Requested(owner) if !is_running(&*journal, &run).await? => {
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

async fn request(engine: &Engine, run: &RunId, args: &CancelArgs) -> Result<CancelResult, Failure> {
    Ok(if args.skip_finally {
        engine.cancel_without_finally(run.clone()).await?
    } else {
        engine.cancel(run.clone()).await?
    })
}

/// Executes the steps under `finally` of a cancelled run that no process owns, which ends the run.
async fn execute_finally(settings: &Settings, run: RunId) -> Result<Exit, Failure> {
    let session = Session::open(settings, wiring::build(settings)?, FINALLY_PARALLEL).await?;
    let exit = resume_one(settings, &session, run, ResumePolicy::default()).await?;
    Ok(if exit == Exit::Cancelled { Exit::Success } else { exit })
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

/// Result of a wait for the owner.
#[derive(PartialEq)]
enum Wait {
    /// The run has ended, or the timeout has expired.
    Over,
    /// The owner has let its lease expire.
    LeaseExpired,
}

/// Reports what the command waits for.
async fn report_wait(journal: &dyn Journal, run: &RunId, owner: &Owner) -> Result<(), Failure> {
    let until = journal.row(run.clone()).await?.lease_until;
    ui::err(&format!("waiting for {owner} to cancel the steps of run {run}; {}", error::lease_text(owner, until)));
    Ok(())
}

async fn is_running(journal: &dyn Journal, run: &RunId) -> Result<bool, Failure> {
    Ok(journal.row(run.clone()).await?.status.is_running())
}

/// Waits until the owner has ended the run or has let its lease expire, for [`CANCEL_TIMEOUT`] at
/// most, and for one lease at least.
async fn wait_for_end(journal: &dyn Journal, run: &RunId, lease: Duration) -> Result<Wait, Failure> {
    let until = Instant::now() + CANCEL_TIMEOUT.max(lease + LEASE_MARGIN);
    while Instant::now() < until {
        let row = journal.row(run.clone()).await?;
        match row.status.is_running() {
            false => return Ok(Wait::Over),
            true if row.lease_until <= Clock::system().now() => return Ok(Wait::LeaseExpired),
            true => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
    Ok(Wait::Over)
}
