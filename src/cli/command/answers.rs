//! Common part of `approve` and `resolve`: recording an operator's answer for a step.

use std::sync::Arc;

use serde_json::json;
use stargate::{
    engine::AnswerResult,
    id::RunId,
    journal::Journal,
    run::{Answer, StepState},
};

use crate::cli::{
    Failure, Settings,
    args::{Output, StepSelector},
    exit::Exit,
    hint, journals, runs, session, ui,
};

/// Appends `answer` to the run and reports it.
///
/// `effect` completes the sentence "step … of run …". A live owner applies the answer itself;
/// otherwise the hint is to resume the run.
pub(super) async fn record(
    settings: &Settings,
    selector: &StepSelector,
    answer: &Answer,
    effect: &str,
) -> Result<Exit, Failure> {
    let Some(journal) = journals::open_existing(settings).await? else { return Err(runs::no_runs()) };
    let run = runs::find(&*journal, &selector.run).await?;
    let step = match &selector.step {
        Some(step) => step.clone(),
        None => only_step(&*journal, &run, answer).await?,
    };
    let engine = session::start_engine_without_reporter(settings, Arc::clone(&journal))?;
    let (message, hint) = match engine.answer(run.clone(), &step, answer).await? {
        AnswerResult::Stored => (format!("step {step} of run {run} {effect}"), next(&*journal, &run).await?),
        AnswerResult::SentToOwner(owner) => {
            (format!("step {step} of run {run} {effect}; {owner} owns the run and applies it"), hint::history(&run))
        }
    };
    match settings.output {
        Output::Text => {
            ui::err(&message);
            ui::hint(&hint);
        }
        Output::Json => ui::out_json(&json!({ "run": run, "step": step, "message": message, "hint": hint })),
    }
    Ok(Exit::Success)
}

/// Returns the command that continues the run, or that replaces it if it is overtaken.
async fn next(journal: &dyn Journal, run: &RunId) -> Result<String, Failure> {
    let stored = journal.load(run.clone()).await?;
    let overtaken = runs::overtaken_by(journal, &stored.row, &runs::plan_of(&stored)?).await?;
    Ok(if overtaken.is_some() { hint::run_again(&stored.row.workflow, run) } else { hint::resume(run) })
}

/// Returns the name of the only step that needs such an answer.
///
/// # Errors
///
/// A usage failure if no step or more than one step needs it.
async fn only_step(journal: &dyn Journal, run: &RunId, answer: &Answer) -> Result<String, Failure> {
    let stored = journal.load(run.clone()).await?;
    let plan = runs::plan_of(&stored)?;
    let state = runs::state_of(&stored, &plan)?;
    let needs_answer = |state: &StepState| match answer {
        Answer::Approved | Answer::Refused { .. } => matches!(state, StepState::AwaitingApproval { .. }),
        Answer::Done { .. } | Answer::NotDone => matches!(state, StepState::InDoubt { .. }),
    };
    let waiting: Vec<_> = state.steps().filter(|&id| needs_answer(state.state(id))).collect();
    match waiting.as_slice() {
        [id] => Ok(state.name(*id).to_owned()),
        [] => Err(Failure::usage(format!("no step of run {run} needs this answer"), hint::why(run))),
        many => {
            let names: Vec<_> = many.iter().map(|&id| state.name(id)).collect();
            let message = format!("{} steps of run {run} need this answer: {}", many.len(), names.join(", "));
            Err(Failure::usage(message, "add the name of the step"))
        }
    }
}
