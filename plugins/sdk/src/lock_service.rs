use std::time::Duration;

use futures::future::BoxFuture;

use crate::{ActionContext, ActionError, Permission};

/// A run that needs a lock, as the lock names its holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteLockRequest {
    /// Name of the lock, such as `cluster/prod`.
    pub lock: String,
    /// Id of the run.
    pub run: String,
    /// Epoch under which the run is or will be owned. A later epoch supersedes an earlier one.
    pub epoch: u64,
    /// Name of the run's workflow.
    pub workflow: String,
    /// Description of the owner, with user, host and process.
    pub owner: String,
    /// Identity of the owner, by which another process on the same machine knows whether it exists.
    pub process: String,
    /// Runs whose owner has certainly ended: their hold is void.
    pub ended_runs: Vec<String>,
    /// Time for which the lock is held without renewal.
    pub duration: Duration,
}

/// A run, of this or another journal, that holds a lock in an external system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteHolder {
    /// Id of the run.
    pub run: String,
    /// Name of the run's workflow.
    pub workflow: String,
    /// Description of the owner, with user, host and process.
    pub owner: String,
    /// Identity of the owner, as its [`RemoteLockRequest`] had it; empty for another program.
    pub process: String,
    /// Time since which it holds the lock, as RFC 3339.
    pub since: String,
    /// True if the holder has not renewed the lock recently, as far as the clocks agree: a caller
    /// that tries again for the lock's duration finds out.
    pub may_have_ended: bool,
}

/// Result of an attempt to take a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockAttempt {
    /// The run holds the lock.
    Taken,
    /// Another run holds it. Nothing was written.
    Held(Box<RemoteHolder>),
    /// The external system cannot be reached, or has no locks; the text is the reason.
    Unavailable(String),
}

/// Locks in the external system that they protect, so that runs of all journals exclude each other.
///
/// A lock is held by one run at most: each write names the state that it replaces. A hold that is
/// not renewed for its duration expires, measured by the clock of the process that observes it.
pub trait LockService: Send + Sync {
    /// Name of the [`Target`](crate::Target) that contains the locks.
    fn target(&self) -> &'static str;

    /// True if locks of this name are in the target. The name may end before an expression, whose
    /// value is not known yet.
    fn covers(&self, lock: &str) -> bool;

    /// Returns the object that is the lock, such as `lease kube-system/NAME`.
    fn object(&self, lock: &str) -> String;

    /// Permissions that the methods require.
    fn permissions(&self) -> &'static [Permission];

    /// Takes the lock if it is free, expired, or held by an earlier epoch of the run or by one of
    /// its `ended_runs`.
    ///
    /// # Errors
    /// The system refused or its answer is unknown; the lock may have been taken.
    fn take<'a>(
        &'a self,
        cx: &'a ActionContext,
        request: &'a RemoteLockRequest,
    ) -> BoxFuture<'a, Result<LockAttempt, ActionError>>;

    /// Renews a lock that [`Self::take`] has taken. `Held` names the run that has taken it since.
    ///
    /// # Errors
    /// The lock may or may not have been renewed.
    fn renew<'a>(
        &'a self,
        cx: &'a ActionContext,
        request: &'a RemoteLockRequest,
    ) -> BoxFuture<'a, Result<LockAttempt, ActionError>>;

    /// Releases the lock if the run still holds it.
    ///
    /// # Errors
    /// The lock may not have been released; it expires.
    fn release<'a>(
        &'a self,
        cx: &'a ActionContext,
        request: &'a RemoteLockRequest,
    ) -> BoxFuture<'a, Result<(), ActionError>>;
}
