//! What reporters may see.
//!
//! A reporter is told of an entry only after its commit, so it never shows what a crash could take back. Progress and
//! log lines are not durable and come as they are made.

use serde::Serialize;
use serde_json::{Map, Value};
use stargate_sdk::ActionError;

use crate::{
    clock::UnixMillis,
    id::RunId,
    run::{Answer, Outcome},
};

/// Notification about a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// When.
    pub at: UnixMillis,
    /// The run.
    pub run: RunId,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What is new.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// A run was created.
    RunStarted {
        /// Name of the workflow.
        workflow: String,
        /// Names of the plan's steps, in an order in which each follows all it depends on.
        steps: Vec<String>,
    },
    /// A run was taken over and goes on.
    RunResumed {
        /// Name of the workflow.
        workflow: String,
        /// Names of the steps, the parts of a `for_each` step in its place where they are known.
        steps: Vec<String>,
        /// Names of those that are done already.
        done: Vec<String>,
    },
    /// The run begins or goes on when another run gives a lock back. It may not exist yet.
    LockAwaited {
        /// The lock.
        lock: String,
        /// The run that holds it.
        holder: RunId,
        /// Name of that run's workflow.
        workflow: String,
        /// Who advances that run.
        owner: String,
    },
    /// A `for_each` step has these instances.
    StepExpanded {
        /// Name of the step.
        step: String,
        /// Names of its instances.
        instances: Vec<String>,
    },
    /// An attempt of a step has begun.
    StepStarted {
        /// Name of the step, with its key.
        step: String,
        /// 1 for the first.
        attempt: u32,
        /// Whether it only looks if an earlier attempt took effect.
        find: bool,
    },
    /// What an attempt is doing now.
    StepProgress {
        /// Name of the step, with its key.
        step: String,
        /// In words.
        message: String,
    },
    /// A line that an attempt captured.
    StepLog {
        /// Name of the step, with its key.
        step: String,
        /// The line, redacted.
        line: String,
    },
    /// An attempt failed, and another one follows.
    StepRetrying {
        /// Name of the step, with its key.
        step: String,
        /// The failed one.
        attempt: u32,
        /// Why.
        error: ActionError,
        /// When the next one begins.
        until: UnixMillis,
    },
    /// A step is done.
    StepSucceeded {
        /// Name of the step, with its key.
        step: String,
        /// What was changed in the world. Empty: nothing.
        changes: Vec<String>,
        /// Whether an earlier attempt's effect was found.
        found: bool,
    },
    /// A step was left out.
    StepSkipped {
        /// Name of the step.
        step: String,
    },
    /// A step failed for good.
    StepFailed {
        /// Name of the step, with its key.
        step: String,
        /// Why.
        error: ActionError,
        /// What its attempts have changed in the world. Empty: nothing.
        changes: Vec<String>,
    },
    /// A step may or may not have happened.
    StepInDoubt {
        /// Name of the step, with its key.
        step: String,
        /// What was seen last.
        error: ActionError,
        /// What its attempts have changed in the world. Empty: nothing.
        changes: Vec<String>,
    },
    /// A step can begin once a person says so.
    ApprovalAsked {
        /// Name of the step.
        step: String,
        /// What the person is asked.
        question: String,
    },
    /// A person has said of a step what only a person can.
    StepAnswered {
        /// Name of the step, with its key.
        step: String,
        /// Who, for people.
        by: String,
        /// What.
        answer: Answer,
    },
    /// A run has ended.
    RunFinished {
        /// How.
        outcome: Outcome,
        /// Whether any step changed the world.
        changed: bool,
        /// The workflow's outputs.
        outputs: Map<String, Value>,
    },
    /// A person wants the run to end; what runs is let go of.
    CancelRequested {
        /// Who.
        by: String,
    },
    /// The process was asked to stop; the run can be resumed.
    RunInterrupted,
}

/// Is told of events, on the engine's own tasks: it must be quick and must not block.
pub trait Reporter: Send + Sync {
    /// Takes notice.
    fn report(&self, event: Event);
}

/// Takes no notice.
pub struct NullReporter;

impl Reporter for NullReporter {
    fn report(&self, _: Event) {}
}
