use stargate_sdk::ActionError;

use crate::{
    id::RunId,
    plan::Outputs,
    run::{Outcome, RunState, Shared, StepId, StepState},
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
    pub outputs: Shared<Outputs>,
    /// Names and errors of the steps that failed or are in doubt.
    pub failures: Vec<(String, ActionError)>,
    /// Names and errors of the steps that failed and whose failure does not fail the run.
    pub warnings: Vec<(String, ActionError)>,
    /// Names of the steps that need an answer, with the question.
    pub questions: Vec<(String, Question)>,
    /// Results by group, for instances of `for_each` steps that have one. Sorted by name.
    pub groups: Vec<GroupReport>,
}

/// Results of the step instances of one group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupReport {
    /// Name of the group, such as `site lyon`.
    pub name: String,
    /// Number of instances that succeeded or were skipped.
    pub done: usize,
    /// Names of instances that have changed an external system, in this or an earlier process.
    pub changed: Vec<String>,
    /// Names of instances that failed or are in doubt.
    pub failed: Vec<String>,
    /// Names of instances that have not run, because of a failure, a question or the end of the
    /// process.
    pub not_run: Vec<String>,
}

impl GroupReport {
    /// Creates the report of a group without instances.
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Adds the result of the instance of `step` with this key.
    pub(super) fn add(&mut self, state: &RunState, step: StepId, key: &str) {
        let name = format!("{}[{key}]", state.name(step));
        let Some(instance) = state.find(&name) else {
            return self.add_unexpanded(state.state(step), name);
        };
        if state.has_changed(instance) {
            self.changed.push(name.clone());
        }
        match state.state(instance) {
            StepState::Succeeded { .. } | StepState::Skipped => self.done += 1,
            StepState::Failed { .. } | StepState::InDoubt { .. } => self.failed.push(name),
            _ => self.not_run.push(name),
        }
    }

    /// Adds an instance of a step that has none so far: it was skipped, or cannot run.
    fn add_unexpanded(&mut self, step: &StepState, name: String) {
        if matches!(step, StepState::Skipped) { self.done += 1 } else { self.not_run.push(name) }
    }
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

/// Returns the steps that failed and whose failure does not fail the run, with their errors.
pub(super) fn warnings(state: &RunState) -> Vec<(String, ActionError)> {
    let warning = |id| match state.state(id) {
        StepState::Failed { error } if state.is_failure_allowed(id) => Some((state.name(id).to_owned(), error.clone())),
        _ => None,
    };
    state.steps().filter_map(warning).collect()
}

/// Returns the steps that failed or are in doubt, with their errors, without those of `warnings`.
pub(super) fn failures(state: &RunState) -> Vec<(String, ActionError)> {
    let failure = |id| match state.state(id) {
        StepState::Failed { .. } if state.is_failure_allowed(id) => None,
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
