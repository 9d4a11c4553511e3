use stargate_sdk::{ActionError, RemoteHolder};

use super::{TargetMismatch, UnverifiedTarget};
use crate::{
    clock::UnixMillis,
    id::RunId,
    journal::{JournalError, LockTaking, Owner},
    plan::{PlanError, StoredPlanError},
    run::{IllegalEntry, StateName, StepRetryError},
};

/// A run that holds a lock, and its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockHolder {
    /// Name of the lock.
    pub lock: String,
    /// Run that holds the lock.
    pub run: RunId,
    /// Name of the run's workflow.
    pub workflow: String,
    /// Process that owns the run.
    pub owner: Owner,
    /// Time at which the owner's lease expires unless it is renewed.
    pub until: UnixMillis,
}

/// A run, of this or another journal, that holds a lock in an external system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteLockHolder {
    /// Name of the lock.
    pub lock: String,
    /// Object in the external system that is the lock.
    pub object: String,
    /// Holder of the lock.
    pub holder: RemoteHolder,
}

impl std::fmt::Display for RemoteLockHolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let RemoteHolder { run, workflow, owner, since, .. } = &self.holder;
        write!(f, "lock {:?} ({}) is held by ", self.lock, self.object)?;
        if !run.is_empty() {
            write!(f, "run {run} of {workflow}, owned by ")?;
        }
        write!(f, "{owner}, since {since}")
    }
}

/// Reason for which the engine could not execute a run or write to it.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A live process owns the run.
    #[error("cannot resume run {run}: {owner} owns it")]
    Owned {
        /// Run that was requested.
        run: RunId,
        /// Process that owns the run.
        owner: Box<Owner>,
        /// Time at which the owner's lease expires unless it is renewed.
        until: UnixMillis,
    },
    /// Another run holds a lock. Nothing was created or acquired.
    #[error("cannot take the lock {:?}: run {} of {} holds it, owned by {}", .0.lock, .0.run, .0.workflow, .0.owner)]
    Locked(Box<LockHolder>),
    /// A run of this or another journal holds a lock in an external system. Nothing was created or
    /// acquired.
    #[error("{0}")]
    LockedElsewhere(Box<RemoteLockHolder>),
    /// An external system refused a lock, or did not answer. Nothing was created or acquired.
    #[error("cannot take the lock {lock:?}: {error}")]
    LockUnavailable {
        /// Name of the lock.
        lock: String,
        /// Error of the system.
        error: ActionError,
    },
    /// A lock in an external system was lost while the run was running: its attempts were
    /// cancelled.
    #[error("run {run} was interrupted: {reason}")]
    RemoteLockLost {
        /// Run that lost the lock.
        run: RunId,
        /// Lock, and the reason for the loss.
        reason: String,
    },
    /// The run works on another external system than the settings name. Nothing was acquired.
    #[error("{0}")]
    OtherTarget(Box<TargetMismatch>),
    /// The settings cannot lead to an external system that the run works on. Nothing was acquired.
    #[error("{0}")]
    UnverifiedTarget(Box<UnverifiedTarget>),
    /// Another run took a lock at the same time. Nothing was created.
    #[error("cannot create run {0}: another run has just taken one of its locks")]
    LockLost(RunId),
    /// Another run took a lock after the caller had read who held it last. Nothing was created.
    #[error("cannot create a run: run {} has taken the lock {:?} meanwhile", .0.run, .0.lock)]
    TakenMeanwhile(LockTaking),
    /// The engine was drained while it waited for a lock. Nothing was created or acquired.
    #[error("cannot take the lock {lock:?}: interrupted while waiting for it")]
    WaitInterrupted {
        /// Name of the lock.
        lock: String,
    },
    /// The run was cancelled and cannot be resumed.
    #[error("cannot resume run {0}: it was cancelled")]
    Cancelled(RunId),
    /// Another run has held one of the run's locks since. Nothing was written.
    #[error("cannot resume run {run}: run {} of {} has held its lock {:?} since", .by.run, .by.workflow, .by.lock)]
    Overtaken {
        /// Run that was requested.
        run: RunId,
        /// Run that took the lock last.
        by: Box<LockTaking>,
    },
    /// The run has no step with this name. Nothing was written.
    #[error("cannot answer for step {step:?} of run {run}: the run has no such step")]
    NoSuchStep {
        /// Run that was named.
        run: RunId,
        /// Name that was given.
        step: String,
    },
    /// A step cannot be executed again. Nothing was written.
    #[error("cannot execute a step of run {run} again: {source}")]
    CannotRetry {
        /// Run of the step.
        run: RunId,
        /// Reason for the refusal.
        source: StepRetryError,
    },
    /// The step does not wait for this answer. Nothing was written.
    #[error("cannot answer for step {step:?} of run {run}: it is {state}")]
    UnexpectedAnswer {
        /// Run of the step.
        run: RunId,
        /// Name of the step.
        step: String,
        /// State of the step.
        state: StateName,
    },
    /// An answer has an output that the step's action cannot have. Nothing was written.
    #[error("step {step:?} cannot have this output of {action}: {reason}")]
    InvalidOutput {
        /// Name of the step.
        step: String,
        /// Name of the step's action.
        action: &'static str,
        /// Difference from the action's output type.
        reason: String,
    },
    /// Another process acquired the run. This process has written nothing to it since.
    #[error("cannot continue run {0}: another process has acquired it")]
    Fenced(RunId),
    /// The stored entries contradict each other.
    #[error("cannot read run {run}: {source}")]
    IllegalHistory {
        /// Run that was read.
        run: RunId,
        /// First entry that cannot follow those before it.
        source: IllegalEntry,
    },
    /// The stored plan cannot be read, or has changed since it was stored.
    #[error("the plan of run {run} {source}")]
    StoredPlan {
        /// Run that was read.
        run: RunId,
        /// Reason for which the plan is refused.
        source: StoredPlanError,
    },
    /// The plan's expressions do not compile.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The plan uses an action that this program does not have in that version.
    #[error("step {step:?} needs the action {action} version {expected}, and this program has {found}")]
    Action {
        /// Name of the step.
        step: String,
        /// Name of the action.
        action: String,
        /// Version in the plan.
        expected: u32,
        /// Description of what this program has.
        found: String,
    },
    /// `/proc` cannot be read, so this process has no identity under which it could own a run.
    #[error("cannot identify this process: {0}")]
    Identity(std::io::Error),
    /// The engine has stopped.
    #[error("the engine has stopped")]
    Stopped,
}
