//! Events of runs, for reporters.
//!
//! The event of an entry is reported after the entry's commit, so a reporter never presents
//! anything that a crash could revert. Progress and log lines are not durable and are reported
//! immediately.

use serde::{Serialize, Serializer};
use stargate_sdk::{ActionError, TargetId};

use crate::{
    clock::UnixMillis,
    id::RunId,
    plan::Outputs,
    run::{Answer, Outcome, Shared},
};

/// A notification about a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// Time of the event.
    pub at: UnixMillis,
    /// Run that the event is about.
    pub run: RunId,
    /// Kind of the event, with its data.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// Kind of an event, with its data.
///
/// Steps are named with their key, such as `join[worker-1]`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// A run was created.
    RunStarted {
        /// Name of the workflow.
        workflow: String,
        /// Names of the plan's steps, each after its dependencies.
        steps: Vec<String>,
    },
    /// A run was acquired and is resumed.
    RunResumed {
        /// Name of the workflow.
        workflow: String,
        /// Names of the steps; the instances of a `for_each` step replace it once they are known.
        steps: Vec<String>,
        /// Names of the steps that have succeeded or were skipped before.
        done: Vec<String>,
    },
    /// A run that was created or acquired is about to work on these external systems.
    RunBound {
        /// Targets of its actions and locks, by name.
        targets: Vec<BoundTarget>,
        /// Locks that are in an external system, or would be if it could be reached.
        locks: Vec<BoundLock>,
    },
    /// A run waits until another run releases a lock. The waiting run may not have been created
    /// yet.
    LockAwaited {
        /// Name of the lock.
        lock: String,
        /// Id of the run that holds the lock, in this or another journal.
        holder: String,
        /// Name of the holder's workflow.
        workflow: String,
        /// Description of the process that owns the holder.
        owner: String,
    },
    /// A `for_each` step got its instances.
    StepExpanded {
        /// Name of the step.
        step: String,
        /// Names of its instances.
        instances: Vec<String>,
        /// Names of instances that have changed something and are no longer in the list.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        dropped: Vec<String>,
    },
    /// An attempt started.
    StepStarted {
        /// Name of the step.
        step: String,
        /// Number of the attempt, from 1.
        attempt: u32,
        /// True if the attempt finds out whether an earlier one took effect.
        find: bool,
    },
    /// A running attempt reports its progress.
    StepProgress {
        /// Name of the step.
        step: String,
        /// Description of the current activity.
        message: String,
    },
    /// A running attempt captured a log line.
    StepLog {
        /// Name of the step.
        step: String,
        /// Text of the line, with secrets redacted.
        line: String,
    },
    /// An attempt failed and another one is scheduled.
    StepRetrying {
        /// Name of the step.
        step: String,
        /// Number of the failed attempt.
        attempt: u32,
        /// Error of the failed attempt.
        error: ActionError,
        /// Time at which the next attempt starts.
        until: UnixMillis,
    },
    /// A step succeeded.
    StepSucceeded {
        /// Name of the step.
        step: String,
        /// Changes that its attempts have made; empty if the step is unchanged.
        changes: Vec<String>,
        /// True if the effect was found after an unknown outcome.
        found: bool,
    },
    /// A step was skipped because its condition was false.
    StepSkipped {
        /// Name of the step.
        step: String,
    },
    /// A step failed; no attempt follows until the run is resumed.
    StepFailed {
        /// Name of the step.
        step: String,
        /// Error of the last attempt.
        error: ActionError,
        /// Changes that its attempts have made.
        changes: Vec<String>,
    },
    /// A step is in doubt: an operator must resolve it.
    StepInDoubt {
        /// Name of the step.
        step: String,
        /// Error of the last attempt.
        error: ActionError,
        /// Changes that its attempts have made.
        changes: Vec<String>,
    },
    /// A step needs an approval.
    ApprovalRequested {
        /// Name of the step.
        step: String,
        /// Question that the workflow asks.
        question: String,
    },
    /// An operator answered for a step that waits for approval or is in doubt.
    StepAnswered {
        /// Name of the step.
        step: String,
        /// Description of the process that wrote the answer.
        by: String,
        /// Decision of the operator.
        answer: Answer,
    },
    /// All steps have ended that are not under `finally`, and those under it start.
    FinallyStarted {
        /// Outcome of the steps that have ended.
        #[serde(serialize_with = "outcome_name")]
        outcome: Outcome,
    },
    /// A run finished.
    RunFinished {
        /// Result of the run.
        #[serde(serialize_with = "outcome_name")]
        outcome: Outcome,
        /// True if a step has changed an external system.
        changed: bool,
        /// Outputs of the workflow; empty unless the run succeeded.
        outputs: Shared<Outputs>,
    },
    /// An operator requested that the run ends; running attempts are cancelled.
    CancelRequested {
        /// Description of the process that wrote the request.
        by: String,
    },
    /// The engine was drained; the run can be resumed.
    RunInterrupted,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn outcome_name<S: Serializer>(outcome: &Outcome, serializer: S) -> Result<S::Ok, S::Error> {
    outcome.name().serialize(serializer)
}

/// A target of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BoundTarget {
    /// Name of the target, such as `azure`.
    pub target: String,
    /// Identity of the external system; `None` if it could not be read yet.
    #[serde(flatten)]
    pub identity: Option<TargetId>,
    /// Reason for which the system is identified only when a step uses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unidentified: Option<String>,
}

/// A lock of a run that protects something in an external system.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BoundLock {
    /// Name of the lock.
    pub lock: String,
    /// Object in the external system that is the lock, such as `lease kube-system/NAME`.
    pub object: String,
    /// Reason for which the journal alone holds the lock until a step uses the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal_only: Option<String>,
}

/// Component that presents events.
pub trait Reporter: Send + Sync {
    /// Handles one event. Must not block: the engine calls it on its own tasks.
    fn report(&self, event: Event);
}

/// Reporter that ignores all events.
pub struct NullReporter;

impl Reporter for NullReporter {
    fn report(&self, _: Event) {}
}
