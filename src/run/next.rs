use std::time::Duration;

use stargate_sdk::{ActionError, FailureKind, Recovery};

use super::{
    Attempt, AttemptMode, AttemptTransition, Entry, Outcome, RunState, StepId, StepState, retry::backoff_delay,
};
use crate::{
    clock::UnixMillis,
    plan::{Plan, PlannedStep},
};

/// Something that the engine must do now.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Request approval of a step, if its condition is true.
    RequestApproval(StepId),
    /// Evaluate the items of a `for_each` step, if its condition is true.
    Expand(StepId),
    /// Evaluate the items of a `for_each` step of which a dependency failed: without items, the
    /// step succeeds; otherwise it is stopped.
    ExpandIfEmpty(StepId),
    /// Start a step, if its condition is true.
    Start(StepId),
    /// Start a further attempt of a step that was started before.
    Attempt {
        /// Step of the attempt.
        step: StepId,
        /// Number and retry state of the attempt.
        attempt: Attempt,
        /// Purpose of the attempt.
        mode: AttemptMode,
    },
    /// Record that a step is in doubt.
    MarkInDoubt {
        /// Step with the unknown outcome.
        step: StepId,
        /// Reason for the doubt.
        error: ActionError,
    },
    /// Start the steps under `finally`, because all others have ended with this outcome.
    StartFinally(Outcome),
    /// Finish the run.
    Finish(Outcome),
}

impl Effect {
    /// True if the state permits the effect. An effect before it in the same list can have stopped
    /// its step: the instance of a `for_each` step of which too many instances have failed.
    pub fn is_possible(&self, state: &RunState) -> bool {
        match self {
            Self::RequestApproval(step) | Self::Expand(step) | Self::ExpandIfEmpty(step) | Self::Start(step) => {
                *state.state(*step) == StepState::Ready
            }
            Self::Attempt { .. } | Self::MarkInDoubt { .. } | Self::StartFinally(_) | Self::Finish(_) => true,
        }
    }
}

/// Decides what to do at the time `now` with `free` slots for further attempts.
///
/// Returns the effects, and the time of the next scheduled attempt if there is one. The result
/// depends on the arguments alone. Applying the entries of the effects and deciding again leads to
/// no effects after finitely many rounds. [`Effect::is_possible`] tells whether an effect still is,
/// after those before it.
pub fn next(plan: &Plan, state: &RunState, now: UnixMillis, free: usize) -> (Vec<Effect>, Option<UnixMillis>) {
    let is_active = |id: &StepId| state.is_active(*id);
    let unknown = state.unknown.iter().copied().filter(is_active);
    let unknown = unknown.map(|id| recover(&plan.steps[state.node(id)], state, id));
    let backing_off = || state.backing_off.iter().filter(|(_, id)| state.is_active(*id));
    let due = backing_off().take_while(|(until, _)| *until <= now).map(|&(_, id)| retry(state, id));
    let ready = state.ready.iter().copied().filter(is_active).map(|id| start(plan, state, id));
    let free = if state.is_cancelling() { 0 } else { free };
    let mut effects: Vec<Effect> = unknown.chain(due).chain(ready).take(free).collect();
    if let Some(outcome) = state.ending() {
        let has_more = state.needs_finally(outcome);
        effects.push(if has_more { Effect::StartFinally(outcome) } else { Effect::Finish(outcome) });
    }
    if state.is_cancelling() {
        return (effects, None);
    }
    let wake = backing_off().map(|(until, _)| *until).find(|until| *until > now);
    (effects, wake)
}

fn start(plan: &Plan, state: &RunState, id: StepId) -> Effect {
    if state.is_stopping_loop(id) {
        Effect::ExpandIfEmpty(id)
    } else if state.needs_approval(plan, id) {
        Effect::RequestApproval(id)
    } else if state.is_for_each(plan, id) {
        Effect::Expand(id)
    } else {
        Effect::Start(id)
    }
}

fn retry(state: &RunState, step: StepId) -> Effect {
    match state.state(step) {
        StepState::BackingOff { attempt, mode, .. } => {
            let attempt = Attempt { number: attempt.number + 1, ..*attempt };
            Effect::Attempt { step, attempt, mode: *mode }
        }
        _ => unreachable!("the index contains only steps that are backing off"),
    }
}

fn recover(planned: &PlannedStep, state: &RunState, step: StepId) -> Effect {
    let StepState::Unknown { attempt } = state.state(step) else {
        unreachable!("the index contains only steps with an unknown outcome")
    };
    let attempt = Attempt { number: attempt.number + 1, ..*attempt };
    match recovery_of(planned, state, step) {
        Recovery::Find => Effect::Attempt { step, attempt, mode: AttemptMode::Find },
        Recovery::Repeat => Effect::Attempt { step, attempt, mode: AttemptMode::Run },
        Recovery::Ask => Effect::MarkInDoubt { step, error: owner_exited() },
    }
}

/// Returns the handling of an unknown outcome. An action that finds an effect cannot distinguish
/// that of an earlier execution from that of a step which was reset, unless it ensures a state.
fn recovery_of(planned: &PlannedStep, state: &RunState, step: StepId) -> Recovery {
    match planned.recovery {
        Recovery::Find if state.resets(step) > 0 && !planned.is_repeatable() => Recovery::Ask,
        recovery => recovery,
    }
}

fn owner_exited() -> ActionError {
    ActionError::unknown("the process exited while the step was running, so the step may have taken effect")
}

/// Failure of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptFailure {
    /// Error that the action returned.
    pub error: ActionError,
    /// Changes that the attempt had made before it failed.
    pub changes: Vec<String>,
}

impl From<ActionError> for AttemptFailure {
    /// Returns a failure without changes.
    fn from(error: ActionError) -> Self {
        Self { error, changes: Vec::new() }
    }
}

/// Returns the entry that follows when an attempt of the running `step` failed.
///
/// A retryable failure leads to another attempt while the retry policy permits one. An unknown
/// outcome is handled by the action's recovery: find, repeat, or in doubt. A longer `retry_after`
/// of the server replaces the computed delay. `seed` determines the jitter of the delay.
pub fn after_failure(
    plan: &Plan,
    state: &RunState,
    step: StepId,
    failure: AttemptFailure,
    now: UnixMillis,
    seed: u64,
) -> Entry {
    let planned = &plan.steps[state.node(step)];
    let name = state.name(step).to_owned();
    let (error, changes) = (failure.error, state.changes_with(step, failure.changes));
    let StepState::Running { attempt, mode } = state.state(step) else {
        return Entry::StepFailed { step: name, error, changes };
    };
    let is_unknown = error.kind == FailureKind::Unknown;
    let recovery = recovery_of(planned, state, step);
    if is_unknown && *mode == AttemptMode::Run && recovery == Recovery::Ask {
        return Entry::StepInDoubt { step: name, error, changes };
    }
    let attempt = Attempt { failures: attempt.failures + 1, ..*attempt };
    match retry_at(planned, attempt, &error, now, seed) {
        Some(until) => {
            let mode = if is_unknown && recovery == Recovery::Find { AttemptMode::Find } else { *mode };
            let to = AttemptTransition::BackingOff { until, mode, error };
            Entry::AttemptChanged { step: name, attempt, to, changes }
        }
        None => Entry::StepFailed { step: name, error, changes },
    }
}

/// Returns the time of the next attempt, or `None` if the failure is permanent or the policy
/// permits no more attempts.
fn retry_at(
    planned: &PlannedStep,
    attempt: Attempt,
    error: &ActionError,
    now: UnixMillis,
    seed: u64,
) -> Option<UnixMillis> {
    let policy = &planned.retry;
    if error.kind == FailureKind::Permanent || attempt.failures >= policy.attempts {
        return None;
    }
    let requested = match error.kind {
        FailureKind::Throttled { retry_after } => retry_after.unwrap_or_default(),
        FailureKind::Transient | FailureKind::Permanent | FailureKind::Unknown => Duration::ZERO,
    };
    let at = now.plus(backoff_delay(policy, attempt.failures, seed).max(requested));
    let spent = at.since(attempt.since);
    (spent.as_millis() <= u128::from(policy.budget_ms)).then_some(at)
}
