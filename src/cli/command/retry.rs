//! Implementation of the command `retry`.
//!
//! Without `--yes` and with `-o json`, only the preview is printed: `{run, step, again, read_again,
//! kept}`, and the exit code is 2. Otherwise the output is that of `resume`.

use std::io::IsTerminal as _;

use serde_json::json;
use stargate::{
    engine::{EngineError, ResumePolicy},
    id::RunId,
    run::{Outcome, RunStatus, StepRetry},
};

use crate::{
    cli::{
        Failure, Settings,
        args::{Output, RetryArgs},
        exit::Exit,
        questions, reporter, runs,
        session::Session,
        ui,
    },
    wiring,
};

/// Number of steps of one kind that the preview names.
const LISTED: usize = 20;

/// Command `retry`: executes a step again with all that depends on it, after a preview and a
/// question on a terminal.
pub(crate) async fn retry(settings: &Settings, args: &RetryArgs) -> Result<Exit, Failure> {
    let opened =
        Session::open_existing(settings, wiring::build(settings)?, args.execution.parallel.max_parallel).await?;
    let Some(session) = opened else { return Err(runs::no_runs()) };
    let session = session.limited(&args.execution);
    let run = runs::find(&*session.journal, &args.run).await?;
    let stored = session.journal.load(run.clone()).await?;
    if stored.row.status == RunStatus::Finished(Outcome::Cancelled) {
        return Err(EngineError::Cancelled(run).into());
    }
    let plan = runs::plan_of(&stored)?;
    let state = runs::state_of(&stored, &plan)?;
    let preview = StepRetry::of(&plan, &state, &args.step).map_err(|error| Failure::retry(&run, &error))?;
    if !args.yes {
        if settings.output == Output::Json {
            show_json(&run, &args.step, &preview);
            return Ok(Exit::Changes);
        }
        show(&run, &preview);
        if !std::io::stdin().is_terminal() {
            let message = "standard input is not a terminal: nobody can be asked";
            return Err(Failure::usage(message, "add `--yes` to execute these steps again"));
        }
        if !questions::is_confirmed("Execute these steps again?").await? {
            ui::err("nothing was executed");
            return Ok(Exit::Cancelled);
        }
    }
    wiring::require(settings, plan.steps.iter().map(|step| step.action.as_str()))?;
    let view = reporter::for_settings(settings, false, None);
    let policy = ResumePolicy { take_over: false, overtaken: args.overtaken };
    let step = args.step.clone();
    let result = session.run_to_end(view, |engine| async move { engine.retry(run, &step, policy).await }).await?;
    result.conclude(settings.output)
}

/// Prints a line for each kind of step.
fn show(run: &RunId, preview: &StepRetry) {
    ui::err(&format!("run {run}:"));
    let again: Vec<&str> = preview.again().collect();
    let (read_again, kept) = (names(&preview.read_again), names(&preview.kept));
    for (label, steps) in [("executed again", again), ("obtained again", read_again), ("kept", kept)] {
        if steps.is_empty() {
            continue;
        }
        let more = if steps.len() > LISTED { format!(" and {} more", steps.len() - LISTED) } else { String::new() };
        ui::err(&format!("  {label}: {}{more}", steps.into_iter().take(LISTED).collect::<Vec<_>>().join(", ")));
    }
}

fn names(steps: &[String]) -> Vec<&str> {
    steps.iter().map(String::as_str).collect()
}

fn show_json(run: &RunId, step: &str, preview: &StepRetry) {
    let again: Vec<&str> = preview.again().collect();
    ui::out_json(&json!({
        "run": run, "step": step, "again": again, "read_again": preview.read_again, "kept": preview.kept,
    }));
}
