//! Questions that an operator answers on a terminal.

use std::{
    io::{BufRead as _, IsTerminal as _},
    sync::Arc,
};

use stargate::{
    engine::{Ending, EngineError, Question, RunReport},
    run::{Answer, Outcome},
};
use stargate_sdk::{ActionError, Registry};

use super::{
    Failure, Settings,
    args::Output,
    reporter,
    session::{RunResult, Session, start_engine_without_reporter},
    signals::SignalListener,
    ui::{self, Tone},
};

/// Result of a run that this process has executed.
type Executed = RunResult<Result<RunReport, EngineError>>;

/// True if an operator can be asked: questions are shown, and answers can be typed.
pub(crate) fn can_ask(settings: &Settings) -> bool {
    settings.output == Output::Text && std::io::stdin().is_terminal() && ui::is_terminal()
}

/// Asks for the answer `yes`. Any other one, the end of the input and a signal are a no.
///
/// # Errors
///
/// Signals cannot be listened for.
pub(crate) async fn is_confirmed(question: &str) -> Result<bool, Failure> {
    Ok(ask(&format!("{question} Type yes:")).await?.as_deref() == Some("yes"))
}

/// Asks before a run that deletes what may hold data, such as a machine.
///
/// # Errors
///
/// As for [`is_confirmed`].
pub(crate) async fn confirm_deletions(plan: &stargate::plan::Plan, registry: &Registry) -> Result<bool, Failure> {
    let deletions = plan.steps.iter().filter_map(|step| {
        let noun = registry.find(&step.action)?.deletes()?;
        Some(format!("{} deletes a {noun}", step.name))
    });
    let deletions: Vec<_> = deletions.collect();
    if deletions.is_empty() {
        return Ok(true);
    }
    ui::err(&ui::paint_err(Tone::Notable, &format!("this run can delete data: {}", deletions.join(", "))));
    is_confirmed("Continue?").await
}

/// Asks for the approvals that a run waits for, and resumes it, until it waits for none or the
/// operator leaves one open.
///
/// # Errors
///
/// Those of answering and resuming the run.
pub(crate) async fn answer_and_resume(
    settings: &Settings,
    session: &Session,
    mut result: Executed,
) -> Result<Executed, Failure> {
    while let Some(report) = waiting(&result).filter(|_| can_ask(settings)) {
        let run = report.run.clone();
        if !answer_all(settings, session, &report).await? {
            break;
        }
        let view = reporter::for_settings(settings, false, None);
        result = session.run_to_end(view, |engine| async move { engine.resume(run).await }).await?;
    }
    Ok(result)
}

/// Returns the report of a run that waits for approval.
fn waiting(result: &Executed) -> Option<RunReport> {
    let report = result.value.as_ref().ok()?;
    (report.ending == Ending::Finished(Outcome::AwaitingApproval)).then(|| report.clone())
}

/// Asks each question. Returns false if one is left open.
async fn answer_all(settings: &Settings, session: &Session, report: &RunReport) -> Result<bool, Failure> {
    let engine = start_engine_without_reporter(settings, Arc::clone(&session.journal))?;
    for (step, question) in &report.questions {
        let Question::Approval(text) = question else { return Ok(false) };
        ui::err(&format!("{} {step}: {text}", ui::paint_err(Tone::Notable, "approval:")));
        let typed = ask("Approve? Type yes, or no to refuse it; anything else leaves it open:").await?;
        let answer = match typed.as_deref() {
            Some("yes") => Answer::Approved,
            Some("no") => Answer::Refused { error: ActionError::permanent("refused by an operator") },
            _ => return Ok(false),
        };
        engine.answer(report.run.clone(), step, &answer).await?;
    }
    Ok(true)
}

/// Asks on the terminal. `None` after a signal or the end of the input.
async fn ask(question: &str) -> Result<Option<String>, Failure> {
    ui::err(question);
    // The signals of a run that has ended do not end the process any more.
    let mut signals = SignalListener::listen()?;
    let typed = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        let length = std::io::stdin().lock().read_line(&mut line).unwrap_or(0);
        (length > 0).then(|| line.trim().to_owned())
    });
    tokio::select! {
        typed = typed => Ok(typed.unwrap_or_default()),
        () = signals.next() => Ok(None),
    }
}
