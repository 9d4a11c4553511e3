use stargate_sdk::{ActionError, FailureKind, Recovery};

use super::{Attempt, AttemptMode, AttemptTransition, Entry, Outcome, RunState, StepId, StepState, retry};
use crate::{
    clock::UnixMillis,
    plan::{Plan, PlannedStep},
};

/// Something to be done, in the present tense.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Ask a person whether a step may begin, if its condition holds.
    Ask(StepId),
    /// Find out the instances of a `for_each` step.
    Expand(StepId),
    /// Begin a step, if its condition holds.
    Start(StepId),
    /// Begin this attempt of a step that was begun before.
    Attempt {
        /// The step.
        step: StepId,
        /// The attempt.
        attempt: Attempt,
        /// What it does.
        mode: AttemptMode,
    },
    /// Leave the step to a person.
    Doubt {
        /// The step.
        step: StepId,
        /// Why.
        error: ActionError,
    },
    /// Nothing is left to do.
    Finish(Outcome),
}

/// What to do now, given at most `free` more attempts at a time, and when to look again.
///
/// A function of its arguments alone. Applying the entries of the effects and asking again ends with no effect.
pub fn next(plan: &Plan, state: &RunState, now: UnixMillis, free: usize) -> (Vec<Effect>, Option<UnixMillis>) {
    let unknown = state.unknown.iter().map(|&id| recover(&plan.steps[state.node(id)], state, id));
    let due = state.waiting.iter().take_while(|(until, _)| *until <= now).map(|&(_, id)| again(state, id));
    let ready = state.ready.iter().map(|&id| begin(plan, state, id));
    let free = if state.is_cancelling() { 0 } else { free };
    let mut effects: Vec<Effect> = unknown.chain(due).chain(ready).take(free).collect();
    if let Some(outcome) = state.ending() {
        effects.push(Effect::Finish(outcome));
    }
    if state.is_cancelling() {
        return (effects, None);
    }
    let wake = state.waiting.iter().map(|(until, _)| *until).find(|until| *until > now);
    (effects, wake)
}

fn begin(plan: &Plan, state: &RunState, id: StepId) -> Effect {
    if state.needs_approval(plan, id) {
        Effect::Ask(id)
    } else if state.is_for_each(plan, id) {
        Effect::Expand(id)
    } else {
        Effect::Start(id)
    }
}

fn again(state: &RunState, step: StepId) -> Effect {
    match state.state(step) {
        StepState::BackingOff { attempt, mode, .. } => {
            let attempt = Attempt { number: attempt.number + 1, ..*attempt };
            Effect::Attempt { step, attempt, mode: *mode }
        }
        _ => unreachable!("the index of waiting steps holds waiting steps"),
    }
}

fn recover(planned: &PlannedStep, state: &RunState, step: StepId) -> Effect {
    let StepState::Unknown { attempt } = state.state(step) else {
        unreachable!("the index of unknown steps holds unknown steps")
    };
    let attempt = Attempt { number: attempt.number + 1, ..*attempt };
    match planned.recovery {
        Recovery::Find => Effect::Attempt { step, attempt, mode: AttemptMode::Find },
        Recovery::Repeat => Effect::Attempt { step, attempt, mode: AttemptMode::Run },
        Recovery::Ask => Effect::Doubt { step, error: lost() },
    }
}

fn lost() -> ActionError {
    ActionError::unknown("the process was lost while the step was running, so it may or may not have taken effect")
}

/// How an attempt failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Failed {
    /// Why.
    pub error: ActionError,
    /// What it had changed in the world by then, for people.
    pub changes: Vec<String>,
}

impl From<ActionError> for Failed {
    /// Nothing was changed.
    fn from(error: ActionError) -> Self {
        Self { error, changes: Vec::new() }
    }
}

/// The entry that follows when an attempt of the running `step` failed.
///
/// `seed` is for the jitter. A failure that may have taken effect is looked into, repeated or left to a person, as the
/// action's recovery says; the far side's own figure for patience wins over ours.
pub fn after_failure(plan: &Plan, state: &RunState, step: StepId, failed: Failed, now: UnixMillis, seed: u64) -> Entry {
    let planned = &plan.steps[state.node(step)];
    let name = state.name(step).to_owned();
    let (error, changes) = (failed.error, state.changes_with(step, failed.changes));
    let StepState::Running { attempt, mode } = state.state(step) else {
        return Entry::StepFailed { step: name, error, changes };
    };
    let unknown = error.kind == FailureKind::Unknown;
    if unknown && *mode == AttemptMode::Run && planned.recovery == Recovery::Ask {
        return Entry::StepInDoubt { step: name, error, changes };
    }
    let attempt = Attempt { failures: attempt.failures + 1, ..*attempt };
    match until(planned, attempt, &error, now, seed) {
        Some(until) => {
            let mode = if unknown && planned.recovery == Recovery::Find { AttemptMode::Find } else { *mode };
            Entry::AttemptMoved {
                step: name,
                attempt,
                to: AttemptTransition::BackingOff { until, mode, error },
                changes,
            }
        }
        None => Entry::StepFailed { step: name, error, changes },
    }
}

fn until(
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
    let pause = retry::pause(policy, attempt.failures, seed);
    let asked = match error.kind {
        FailureKind::Throttled { retry_after } => retry_after.unwrap_or_default(),
        FailureKind::Transient | FailureKind::Permanent | FailureKind::Unknown => std::time::Duration::ZERO,
    };
    let until = now.plus(pause.max(asked));
    let spent = until.since(attempt.since);
    (spent.as_millis() <= u128::from(policy.budget_ms)).then_some(until)
}
