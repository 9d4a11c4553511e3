use serde_json::Value;

use super::{
    EngineError, EngineOptions, Prepared,
    binding::described,
    claim::{Claim, LockRequest},
};
use crate::{
    id::RunId,
    journal::Owner,
    run::{Answer, Entry, Progress, RunState, RunStatus, StepId, StepState},
};

/// Result of an answer that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerResult {
    /// The run has no live owner: the process that resumes it applies the answer.
    Stored,
    /// This live process owns the run and applies the answer within about a second.
    SentToOwner(Box<Owner>),
}

/// Appends an operator's answer for a step, as an external entry if a live process owns the run.
pub(super) async fn answer(
    options: &EngineOptions,
    owner: &Owner,
    run: RunId,
    step: &str,
    answer: &Answer,
) -> Result<AnswerResult, EngineError> {
    loop {
        let mut claim = Claim::read(options, owner, run.clone()).await?;
        check(&run, &claim.prepared, &claim.state, step, answer)?;
        let entry = Entry::StepAnswered { step: step.to_owned(), by: described(owner), answer: answer.clone() };
        if let Some(current) = claim.current_owner() {
            if claim.append(entry, RunStatus::Running).await? {
                return Ok(AnswerResult::SentToOwner(Box::new(current.clone())));
            }
        } else if claim.take_over(Some(entry), false, LockRequest::default()).await? {
            claim.release().await?;
            return Ok(AnswerResult::Stored);
        }
        // Another process has changed the run: read it again.
    }
}

fn check(run: &RunId, prepared: &Prepared, state: &RunState, step: &str, answer: &Answer) -> Result<(), EngineError> {
    let id = state.find(step).ok_or_else(|| EngineError::NoSuchStep { run: run.clone(), step: step.to_owned() })?;
    let is_final = matches!(state.progress(), Progress::Finished(outcome) if outcome.is_final());
    match (state.state(id), answer) {
        (StepState::AwaitingApproval { .. }, Answer::Approved | Answer::Refused { .. })
        | (StepState::InDoubt { .. }, Answer::NotDone)
            if !is_final =>
        {
            Ok(())
        }
        (StepState::InDoubt { .. }, Answer::Done { output }) if !is_final => check_output(prepared, state, id, output),
        (state, _) => {
            Err(EngineError::UnexpectedAnswer { run: run.clone(), step: step.to_owned(), state: state.name() })
        }
    }
}

fn check_output(prepared: &Prepared, state: &RunState, id: StepId, output: &Value) -> Result<(), EngineError> {
    let action = &prepared.actions[state.node(id)];
    action.check_output(output).map_err(|reason| EngineError::InvalidOutput {
        step: state.name(id).to_owned(),
        action: action.name(),
        reason,
    })
}
