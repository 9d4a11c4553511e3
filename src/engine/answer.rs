use std::sync::Arc;

use serde_json::Value;

use super::{EngineError, Options, Prepared, acquire};
use crate::{
    id::RunId,
    journal::{Owner, StoredRun, TakeOverRequest},
    run::{Answer, Entry, Progress, RunState, StepId, StepState, TimedEntry},
};

/// Who goes on with a run once a person has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerResult {
    /// Whoever resumes it.
    Kept,
    /// This living process advances it, and takes the answer in within a second or two.
    Told(Box<Owner>),
}

/// Writes what a person says of a step, behind the entries of the living process that advances the run if there is one.
///
/// A step that does not wait for this answer, or an output that the step's action could not give, is an error, and
/// nothing is written.
pub(super) async fn answer(
    options: &Options,
    owner: &Arc<Owner>,
    run: RunId,
    step: &str,
    answer: &Answer,
) -> Result<AnswerResult, EngineError> {
    loop {
        let stored = options.journal.load(run.clone()).await?;
        let prepared = acquire::prepared(&stored, &options.registry)?;
        let illegal = |source| EngineError::Illegal { run: run.clone(), source };
        let state = RunState::recover(prepared.plan(), &stored.history, &stored.latest).map_err(illegal)?;
        check(&run, &prepared, &state, step, answer)?;
        let entry = Entry::StepAnswered { step: step.to_owned(), by: owner.to_string(), answer: answer.clone() };
        if let Some(holder) = acquire::holder(options, owner, &stored, state.progress()) {
            if acquire::write_behind(options, &stored, entry).await? {
                return Ok(AnswerResult::Told(Box::new(holder.clone())));
            }
        } else if options.journal.take_over(wish(options, owner, &stored, &state, entry)).await? {
            options.journal.release(run, stored.row.epoch + 1).await?;
            return Ok(AnswerResult::Kept);
        }
        // Somebody wrote in between: look what.
    }
}

fn wish(options: &Options, owner: &Arc<Owner>, stored: &StoredRun, state: &RunState, entry: Entry) -> TakeOverRequest {
    let mut records = acquire::records(options, owner, stored, state.progress());
    records.push(TimedEntry { at: options.clock.now(), entry });
    acquire::wish(options, owner, stored, records)
}

fn check(run: &RunId, prepared: &Prepared, state: &RunState, step: &str, answer: &Answer) -> Result<(), EngineError> {
    let not_asked = |now: &'static str| EngineError::NotAsked { run: run.clone(), step: step.to_owned(), now };
    let id = state.find(step).ok_or_else(|| not_asked("not there"))?;
    let is_over = matches!(state.progress(), Progress::Finished(outcome) if outcome.is_final());
    match (state.state(id), answer) {
        (now, _) if is_over => Err(not_asked(now.word())),
        (StepState::AwaitingApproval { .. }, Answer::Approved | Answer::Refused { .. })
        | (StepState::InDoubt { .. }, Answer::NotDone) => Ok(()),
        (StepState::InDoubt { .. }, Answer::Done { output }) => check_output(prepared, state, id, output),
        (now, _) => Err(not_asked(now.word())),
    }
}

fn check_output(prepared: &Prepared, state: &RunState, id: StepId, output: &Value) -> Result<(), EngineError> {
    let action = &prepared.actions[state.node(id)];
    action.check_output(output).map_err(|reason| EngineError::Output {
        step: state.name(id).to_owned(),
        action: action.name(),
        reason,
    })
}
