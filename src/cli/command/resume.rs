//! Implementation of the command `resume`.
//!
//! A failed run is reopened: its failed steps are retried. Succeeded steps are never executed
//! again. Operations that an earlier owner started are polled, not started again.

use futures::future::join_all;
use stargate::{
    clock::Clock,
    engine::{Engine, EngineError, RunReport},
    id::RunId,
    journal::{Journal, Owner},
    run::{ObservedStatus, Outcome, RunStatus},
};

use crate::{
    cli::{
        Failure, Settings,
        args::{Output, ResumeArgs},
        exit::Exit,
        final_report, reporter, runs,
        session::Session,
        ui,
    },
    wiring,
};

/// Command `resume`: continues one run, or each interrupted run without a live owner.
pub(crate) async fn resume(settings: &Settings, args: &ResumeArgs) -> Result<Exit, Failure> {
    let session = Session::open(settings, wiring::build(settings)?, args.parallel.max_parallel).await?;
    let session = session.with_lock_timeout(&args.locks).with_timeout(&args.limit);
    if args.all {
        return resume_all(settings, &session).await;
    }
    if let Some(run) = select_run(&*session.journal, args.run.as_deref()).await? {
        return resume_one(settings, &session, run).await;
    }
    report_nothing_to_do(settings, "all runs in the journal have succeeded or were cancelled: no run to resume", None);
    Ok(Exit::Success)
}

/// Returns the run that the argument names; without an argument, the latest run that can be
/// resumed, if any.
async fn select_run(journal: &dyn Journal, argument: Option<&str>) -> Result<Option<RunId>, Failure> {
    if let Some(text) = argument {
        return runs::find(journal, text).await.map(Some);
    }
    let rows = journal.runs(u32::MAX).await?;
    if rows.is_empty() {
        return Err(runs::no_runs());
    }
    Ok(rows
        .into_iter()
        .find(|row| !matches!(row.status, RunStatus::Finished(outcome) if outcome.is_final()))
        .map(|row| row.id))
}

/// Resumes one run. A succeeded run is reported and left unchanged.
async fn resume_one(settings: &Settings, session: &Session, run: RunId) -> Result<Exit, Failure> {
    let stored = session.journal.load(run.clone()).await?;
    if stored.row.status == RunStatus::Finished(Outcome::Succeeded) {
        report_nothing_to_do(settings, &format!("run {run} has already succeeded: no run to resume"), Some(&run));
        return Ok(Exit::Success);
    }
    let plan = runs::plan_of(&stored)?;
    wiring::require(settings, plan.steps.iter().map(|step| step.action.as_str()))?;
    let view = reporter::for_settings(settings, false);
    let result = session.run_to_end(view, |engine| async move { engine.resume(run).await }).await?;
    result.conclude(settings.output)
}

/// Reports that no run has to be resumed; as the event `result` with `--output json`.
fn report_nothing_to_do(settings: &Settings, text: &str, run: Option<&RunId>) {
    match settings.output {
        Output::Text => ui::err(text),
        Output::Json => ui::out_json(&serde_json::json!({
            "event": "result", "run": run, "outcome": Outcome::Succeeded.name(), "changed": false, "resumed": false,
            "message": text, "exit": Exit::Success.code(),
        })),
    }
}

/// Resumes all interrupted runs and returns the highest of their exit codes.
async fn resume_all(settings: &Settings, session: &Session) -> Result<Exit, Failure> {
    let pending = interrupted(&*session.journal).await?;
    if pending.is_empty() {
        report_nothing_to_do(settings, "no run is interrupted: no run to resume", None);
        return Ok(Exit::Success);
    }
    for run in &pending {
        let plan = runs::plan_of(&session.journal.load(run.clone()).await?)?;
        wiring::require(settings, plan.steps.iter().map(|step| step.action.as_str()))?;
    }
    let view = reporter::for_settings(settings, pending.len() > 1);
    let results = session.run_to_end(view, |engine| resume_each(engine, pending)).await?;
    let mut worst = Exit::Success;
    for result in results.value {
        worst = worst.max(match result {
            Ok(finished) => final_report::conclude(settings.output, finished, &results.summary, results.timed_out),
            Err(error) => {
                let failure = Failure::from(error);
                failure.show();
                failure.exit()
            }
        });
    }
    Ok(worst)
}

/// Resumes the runs concurrently. A run that needs a lock held by another one of them is resumed
/// again after that one.
async fn resume_each(engine: Engine, mut pending: Vec<RunId>) -> Vec<Result<RunReport, EngineError>> {
    let mut results = Vec::with_capacity(pending.len());
    loop {
        let resumed = pending.iter().map(|run| {
            let (engine, run) = (engine.clone(), run.clone());
            async move { (run.clone(), engine.resume(run).await) }
        });
        let (locked, rest): (Vec<_>, Vec<_>) =
            join_all(resumed).await.into_iter().partition(|(_, result)| is_locked_by(result, &pending));
        results.extend(rest.into_iter().map(|(_, result)| result));
        if locked.is_empty() {
            return results;
        }
        pending = locked.into_iter().map(|(run, _)| run).collect();
    }
}

/// True if the run was refused because one of `runs` holds its lock.
fn is_locked_by(result: &Result<RunReport, EngineError>, runs: &[RunId]) -> bool {
    matches!(result, Err(EngineError::Locked(holder)) if runs.contains(&holder.run))
}

/// Returns the interrupted runs without a live owner, oldest first.
async fn interrupted(journal: &dyn Journal) -> Result<Vec<RunId>, Failure> {
    let here =
        Owner::current_process().map_err(|error| Failure::internal(format!("identify this process: {error}")))?;
    let now = Clock::system().now();
    let rows = journal.runs(u32::MAX).await?.into_iter().rev();
    Ok(rows.filter(|row| row.observed_status(&here, now) == ObservedStatus::Interrupted).map(|row| row.id).collect())
}
