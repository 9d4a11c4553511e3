//! Implementation of the command `resume`.
//!
//! A failed run is reopened: its failed steps are retried. Succeeded steps are never executed
//! again. Operations that an earlier owner started are polled, not started again.

use futures::future::join_all;
use stargate::{
    clock::Clock,
    engine::{Engine, EngineError, ResumePolicy, RunReport},
    id::RunId,
    journal::{Journal, Owner, RunRow},
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
        let policy = ResumePolicy { take_over: args.take_over, overtaken: args.overtaken };
        return resume_one(settings, &session, run, policy).await;
    }
    report_nothing_to_do(
        settings,
        "all runs in the journal have succeeded, were cancelled or are overtaken: no run to resume",
        None,
    );
    Ok(Exit::Success)
}

/// Returns the run that the argument names; without an argument, the latest run that can be
/// resumed, if any. Neither that nor `@latest` is a run that is overtaken.
async fn select_run(journal: &dyn Journal, argument: Option<&str>) -> Result<Option<RunId>, Failure> {
    let is_latest = match argument {
        Some(runs::LATEST) => true,
        Some(text) => return runs::find(journal, text).await.map(Some),
        None => false,
    };
    let rows = journal.runs(u32::MAX).await?;
    if rows.is_empty() {
        return Err(runs::no_runs());
    }
    for row in rows {
        let is_final = matches!(row.status, RunStatus::Finished(outcome) if outcome.is_final());
        if is_latest && is_final || !is_final && !pass_over(journal, &row).await? {
            return Ok(Some(row.id));
        }
    }
    Ok(None)
}

/// True if the run is overtaken, which is reported.
async fn pass_over(journal: &dyn Journal, row: &RunRow) -> Result<bool, Failure> {
    let stored = journal.load(row.id.clone()).await?;
    let overtaken_by = runs::overtaken_by(journal, row, &runs::plan_of(&stored)?).await?;
    if let Some(by) = &overtaken_by {
        ui::err(&format!("{}; not resumed", runs::overtaken_text(&row.id, by)));
    }
    Ok(overtaken_by.is_some())
}

/// Resumes one run. A succeeded run is reported and left unchanged.
async fn resume_one(settings: &Settings, session: &Session, run: RunId, policy: ResumePolicy) -> Result<Exit, Failure> {
    let stored = session.journal.load(run.clone()).await?;
    if stored.row.status == RunStatus::Finished(Outcome::Succeeded) {
        report_nothing_to_do(settings, &format!("run {run} has already succeeded: no run to resume"), Some(&run));
        return Ok(Exit::Success);
    }
    let plan = runs::plan_of(&stored)?;
    wiring::require(settings, plan.steps.iter().map(|step| step.action.as_str()))?;
    let view = reporter::for_settings(settings, false);
    let result = session.run_to_end(view, |engine| async move { engine.resume_with(run, policy).await }).await?;
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
    match result {
        Err(EngineError::Locked(holder)) => runs.contains(&holder.run),
        Err(EngineError::LockedElsewhere(held)) => runs.iter().any(|run| run.as_str() == held.holder.run),
        _ => false,
    }
}

/// Returns the interrupted runs without a live owner that are not overtaken, oldest first.
async fn interrupted(journal: &dyn Journal) -> Result<Vec<RunId>, Failure> {
    let here =
        Owner::current_process().map_err(|error| Failure::internal(format!("identify this process: {error}")))?;
    let now = Clock::system().now();
    let mut interrupted = Vec::new();
    for row in journal.runs(u32::MAX).await?.into_iter().rev() {
        if row.observed_status(&here, now) == ObservedStatus::Interrupted && !pass_over(journal, &row).await? {
            interrupted.push(row.id);
        }
    }
    Ok(interrupted)
}
