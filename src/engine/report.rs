use serde_json::{Map, Value};
use stargate_sdk::ActionError;

use crate::{
    id::RunId,
    run::{Outcome, RunState, StepState},
};

/// Reason for which the engine stopped executing a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The run finished.
    Finished(Outcome),
    /// The engine was drained; the run can be resumed.
    Interrupted,
}

/// Result of the execution of a run by one engine.
#[derive(Debug, Clone, PartialEq)]
pub struct RunReport {
    /// Id of the run.
    pub run: RunId,
    /// Reason for which the engine stopped executing the run.
    pub ending: Ending,
    /// True if a step has changed an external system, in this or an earlier process.
    pub changed: bool,
    /// Outputs of the workflow by name; empty unless the run succeeded.
    pub outputs: Map<String, Value>,
    /// Names and errors of the steps that failed or are in doubt.
    pub failures: Vec<(String, ActionError)>,
    /// Names of the steps that need an answer, with the question.
    pub questions: Vec<(String, Question)>,
}

/// Question that an operator has to answer for a step; see
/// [`Engine::answer`](super::Engine::answer).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// The step needs an approval; the text is the workflow's question.
    Approval(String),
    /// The step is in doubt: did it take effect?
    TookEffect,
}

/// Returns the steps that failed or are in doubt, with their errors.
pub(super) fn failures(state: &RunState) -> Vec<(String, ActionError)> {
    let failure = |id| match state.state(id) {
        StepState::Failed { error } | StepState::InDoubt { error } => Some((state.name(id).to_owned(), error.clone())),
        _ => None,
    };
    state.steps().filter_map(failure).collect()
}

/// Returns the steps that need an answer, with the question.
pub(super) fn questions(state: &RunState) -> Vec<(String, Question)> {
    let question = |id| {
        let question = match state.state(id) {
            StepState::AwaitingApproval { question } => Question::Approval(question.clone()),
            StepState::InDoubt { .. } => Question::TookEffect,
            _ => return None,
        };
        Some((state.name(id).to_owned(), question))
    };
    state.steps().filter_map(question).collect()
}
