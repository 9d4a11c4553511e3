use crate::{
    clock::UnixMillis,
    id::RunId,
    journal::{JournalError, Owner},
    plan::PlanError,
    run::IllegalEntry,
};

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockHolder {
    /// The lock.
    pub lock: String,
    /// The run that holds it.
    pub run: RunId,
    /// Name of its workflow.
    pub workflow: String,
    /// Who advances it.
    pub owner: Owner,
    /// When its lease ends, if it is not heard of.
    pub until: UnixMillis,
}

/// Why the engine could not advance a run.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The journal could not do it.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Another process advances the run.
    #[error("resume the run {run}: {owner} is advancing it")]
    Owned {
        /// The run.
        run: RunId,
        /// Who.
        owner: Box<Owner>,
        /// When its lease ends, if it is not heard of.
        until: UnixMillis,
    },
    /// Another run holds a lock. Nothing was created or taken over.
    #[error("take the lock {:?}: the run {} of {} holds it, and {} is advancing it", .0.lock, .0.run, .0.workflow, .0.owner)]
    Locked(Box<LockHolder>),
    /// Another run took a lock at the same moment. Nothing was created.
    #[error("create the run {0}: another run has just taken a lock of it")]
    LockLost(RunId),
    /// The engine was drained while a lock was waited for. Nothing was created or taken over.
    #[error("wait for the lock {lock:?}: interrupted")]
    WaitInterrupted {
        /// The lock.
        lock: String,
    },
    /// The run was cancelled: it does not go on.
    #[error("resume the run {0}: it was cancelled")]
    Cancelled(RunId),
    /// The step does not wait for what a person has said of it. Nothing was written.
    #[error("answer for the step {step:?} of the run {run}: it is {now}")]
    NotAsked {
        /// The run.
        run: RunId,
        /// The step.
        step: String,
        /// How it stands, in words.
        now: &'static str,
    },
    /// A person has given an output that the step's action could not give. Nothing was written.
    #[error("the step {step:?} cannot have this output: {action} gives another: {reason}")]
    Output {
        /// The step.
        step: String,
        /// Name of its action.
        action: &'static str,
        /// What does not fit.
        reason: String,
    },
    /// Another process has taken the run over; this one wrote nothing since.
    #[error("advance the run {0}: another process has taken it over")]
    Fenced(RunId),
    /// The stored entries do not lead on from each other.
    #[error("read the run {run}: {source}")]
    Illegal {
        /// The run.
        run: RunId,
        /// What does not follow.
        source: IllegalEntry,
    },
    /// The stored plan cannot be read.
    #[error("read the plan of the run {run}: {reason}")]
    UnreadablePlan {
        /// The run.
        run: RunId,
        /// What is wrong.
        reason: String,
    },
    /// The plan's expressions do not compile.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The plan needs an action that this program does not have in that version.
    #[error("step {step:?} needs the action {action} version {wanted}, and this program has {found}")]
    Action {
        /// The step.
        step: String,
        /// The action.
        action: String,
        /// Version pinned in the plan.
        wanted: u32,
        /// What this program has, in words.
        found: String,
    },
    /// This process cannot tell who it is.
    #[error("identify this process: {0}")]
    Identity(std::io::Error),
    /// The engine has stopped.
    #[error("the engine has stopped")]
    Stopped,
}
