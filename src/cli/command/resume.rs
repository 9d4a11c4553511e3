//! Implementation of the command `resume`.
//!
//! A failed run is reopened: its failed steps are retried. Succeeded steps are never executed
//! again. Operations that an earlier owner started are polled, not started again.

use futures::future::join_all;
use stargate::{
    engine::{Engine, EngineError, ResumePolicy, RunReport},
    id::RunId,
    journal::{Journal, RunRow},
    run::{ObservedStatus, Outcome, RunStatus},
};

use super::view_context::ViewContext;
use crate::{
    cli::{
        Failure, Settings,
        args::{Output, ResumeArgs},
        exit::Exit,
        final_report, questions, reporter, runs,
        session::Session,
        ui,
    },
    wiring,
};

/// Command `resume`: continues one run, or each interrupted run without a live owner.
pub(crate) async fn resume(settings: &Settings, args: &ResumeArgs) -> Result<Exit, Failure> {
    let opened =
        Session::open_existing(settings, wiring::build(settings)?, args.execution.parallel.max_parallel).await?;
    let Some(session) = opened else {
        return match args.run.as_deref() {
            _ if args.all => Ok(nothing_interrupted(settings)),
            Some(run) if run != runs::LATEST => Err(runs::unknown_run(run)),
            Some(_) | None => Err(runs::no_runs()),
        };
    };
    let session = session.limited(&args.execution);
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
pub(super) async fn resume_one(
    settings: &Settings,
    session: &Session,
    run: RunId,
    policy: ResumePolicy,
) -> Result<Exit, Failure> {
    let stored = session.journal.load(run.clone()).await?;
    if stored.row.status == RunStatus::Finished(Outcome::Succeeded) {
        report_nothing_to_do(settings, &format!("run {run} has already succeeded: no run to resume"), Some(&run));
        return Ok(Exit::Success);
    }
    let plan = runs::plan_of(&stored)?;
    wiring::require(settings, plan.steps.iter().map(|step| step.action.as_str()))?;
    let view = reporter::for_settings(settings, false, None);
    let result = session.run_to_end(view, |engine| async move { engine.resume_with(run, policy).await }).await?;
    questions::answer_and_resume(settings, session, result).await?.conclude(settings.output)
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

fn nothing_interrupted(settings: &Settings) -> Exit {
    report_nothing_to_do(settings, "no run is interrupted: no run to resume", None);
    Exit::Success
}

/// Resumes all interrupted runs and returns the highest exit code. A run that cannot be read or
/// resumed is reported, and the others are resumed.
async fn resume_all(settings: &Settings, session: &Session) -> Result<Exit, Failure> {
    let (pending, mut worst) = resumable(settings, &*session.journal).await?;
    if pending.is_empty() {
        return Ok(if worst == Exit::Success { nothing_interrupted(settings) } else { worst });
    }
    let view = reporter::for_settings(settings, pending.len() > 1, None);
    let results = session.run_to_end(view, |engine| resume_each(engine, pending)).await?;
    for (run, result) in results.value {
        worst = worst.max(match result {
            Ok(finished) => final_report::conclude(settings.output, finished, &results.summary, results.timed_out),
            Err(error) => Failure::from(error).of_run(&run).report(settings.output),
        });
    }
    Ok(worst)
}

/// Resumes the runs concurrently. None of them needs a lock of another one: of two runs with the
/// same lock, the later one has overtaken the other.
async fn resume_each(engine: Engine, runs: Vec<RunId>) -> Vec<(RunId, Result<RunReport, EngineError>)> {
    let resumed = runs.into_iter().map(|run| async {
        let result = engine.resume(run.clone()).await;
        (run, result)
    });
    join_all(resumed).await
}

/// Returns the interrupted runs without a live owner that can be resumed, oldest first, and the
/// highest exit code of those that cannot, which are reported.
async fn resumable(settings: &Settings, journal: &dyn Journal) -> Result<(Vec<RunId>, Exit), Failure> {
    let context = ViewContext::now()?;
    let (mut resumable, mut worst) = (Vec::new(), Exit::Success);
    for row in journal.runs(u32::MAX).await?.into_iter().rev() {
        if context.status(&row) != ObservedStatus::Interrupted {
            continue;
        }
        match is_resumable(settings, journal, &row).await {
            Ok(true) => resumable.push(row.id),
            Ok(false) => {}
            Err(failure) => worst = worst.max(failure.of_run(&row.id).report(settings.output)),
        }
    }
    Ok((resumable, worst))
}

/// Returns `false` for a run that is overtaken, which is reported.
///
/// # Errors
/// The run cannot be read, or the settings are not sufficient for its actions.
async fn is_resumable(settings: &Settings, journal: &dyn Journal, row: &RunRow) -> Result<bool, Failure> {
    if pass_over(journal, row).await? {
        return Ok(false);
    }
    let stored = journal.load(row.id.clone()).await?;
    let plan = runs::plan_of(&stored)?;
    runs::state_of(&stored, &plan)?;
    wiring::require(settings, plan.steps.iter().map(|step| step.action.as_str()))?;
    Ok(true)
}
