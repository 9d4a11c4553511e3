use futures::future::join_all;
use stargate::{
    clock::Clock,
    engine::{Engine, EngineError, Finished},
    id::RunId,
    journal::{Journal, Owner},
};

use crate::{
    cli::{
        Failure, Settings,
        args::{Output, ResumeArgs},
        exit::Exit,
        reporter, runs,
        session::Session,
        summary, ui,
    },
    wiring,
};

/// `resume`: goes on with one run, or with every interrupted run that nobody holds.
pub(crate) async fn resume(settings: &Settings, args: &ResumeArgs) -> Result<Exit, Failure> {
    let session = Session::open(settings, wiring::build(settings)?, args.parallel.max_parallel).await?;
    let session = session.with_lock_timeout(&args.locks).within(&args.limit);
    if args.all {
        return resume_all(settings, &session).await;
    }
    if let Some(run) = chosen(&*session.journal, args.run.as_deref()).await? {
        return resume_one(settings, &session, run).await;
    }
    say(settings, "every run in the journal has succeeded or was cancelled: there is nothing to resume", None);
    Ok(Exit::Done)
}

/// The run that is asked for; without one, the latest that has not succeeded, if any.
async fn chosen(journal: &dyn Journal, asked: Option<&str>) -> Result<Option<RunId>, Failure> {
    if let Some(text) = asked {
        return runs::named(journal, text).await.map(Some);
    }
    let rows = journal.runs(u32::MAX).await?;
    if rows.is_empty() {
        return Err(runs::none());
    }
    Ok(rows.into_iter().find(|row| !matches!(row.status.as_str(), "succeeded" | "cancelled")).map(|row| row.id))
}

async fn resume_one(settings: &Settings, session: &Session, run: RunId) -> Result<Exit, Failure> {
    let stored = session.journal.load(run.clone()).await?;
    if stored.row.status == "succeeded" {
        say(settings, &format!("run {run} has succeeded already: there is nothing to resume"), Some(&run));
        return Ok(Exit::Done);
    }
    let plan = runs::plan_of(&stored)?;
    wiring::require(settings, plan.steps.iter().map(|step| step.action.as_str()))?;
    let show = reporter::for_settings(settings, false);
    let driven = session.drive(show, |engine| async move { engine.resume(run).await }).await?;
    driven.conclude(settings.output)
}

fn say(settings: &Settings, text: &str, run: Option<&RunId>) {
    match settings.output {
        Output::Text => ui::err(text),
        Output::Json => ui::out_json(&serde_json::json!({
            "event": "result", "run": run, "outcome": "succeeded", "changed": false, "resumed": false,
            "message": text, "exit": Exit::Done.code(),
        })),
    }
}

async fn resume_all(settings: &Settings, session: &Session) -> Result<Exit, Failure> {
    let left = interrupted(&*session.journal).await?;
    if left.is_empty() {
        say(settings, "no run is interrupted: there is nothing to resume", None);
        return Ok(Exit::Done);
    }
    for run in &left {
        let plan = runs::plan_of(&session.journal.load(run.clone()).await?)?;
        wiring::require(settings, plan.steps.iter().map(|step| step.action.as_str()))?;
    }
    let show = reporter::for_settings(settings, left.len() > 1);
    let driven = session.drive(show, |engine| each(engine, left)).await?;
    let mut worst = Exit::Done;
    for result in driven.done {
        worst = worst.max(match result {
            Ok(finished) => summary::conclude(settings.output, finished, &driven.tally, driven.overdue),
            Err(error) => {
                let failure = Failure::from(error);
                failure.show();
                failure.exit()
            }
        });
    }
    Ok(worst)
}

/// Resumes all of them at once; those that want a lock which one of them holds come after it.
async fn each(engine: Engine, mut left: Vec<RunId>) -> Vec<Result<Finished, EngineError>> {
    let mut results = Vec::with_capacity(left.len());
    loop {
        let resumed = left.iter().map(|run| {
            let (engine, run) = (engine.clone(), run.clone());
            async move { (run.clone(), engine.resume(run).await) }
        });
        let (locked, rest): (Vec<_>, Vec<_>) =
            join_all(resumed).await.into_iter().partition(|(_, result)| is_held_among(result, &left));
        results.extend(rest.into_iter().map(|(_, result)| result));
        if locked.is_empty() {
            return results;
        }
        left = locked.into_iter().map(|(run, _)| run).collect();
    }
}

fn is_held_among(result: &Result<Finished, EngineError>, runs: &[RunId]) -> bool {
    matches!(result, Err(EngineError::Locked(holder)) if runs.contains(&holder.run))
}

async fn interrupted(journal: &dyn Journal) -> Result<Vec<RunId>, Failure> {
    let here =
        Owner::current_process().map_err(|error| Failure::internal(format!("identify this process: {error}")))?;
    let now = Clock::system().now();
    let rows = journal.runs(u32::MAX).await?.into_iter().rev();
    Ok(rows.filter(|row| runs::status(row, &here, now) == "interrupted").map(|row| row.id).collect())
}
