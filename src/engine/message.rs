use std::sync::Arc;

use serde_json::Value;
use stargate_sdk::{ActionError, FindResult};
use tokio::sync::oneshot;

use super::{EngineError, Prepared, RunReport, binding::RunBinding, claim::AcquiredRun};
use crate::{
    id::{Epoch, RunId},
    journal::{JournalError, LockEviction, SeenTaker},
    run::{AttemptMode, Entry, StepId},
};

/// Channel through which the dispatcher returns the result of a run.
pub(super) type RunReply = oneshot::Sender<Result<RunReport, EngineError>>;

/// Channel through which the dispatcher confirms that a checkpoint is durable.
pub(super) type CheckpointReply = oneshot::Sender<Result<(), ActionError>>;

/// Message to the dispatcher. Senders wait while its channel is full; the dispatcher waits for none
/// of them.
pub(super) enum DispatcherMessage {
    /// Creates a run and executes it.
    Create {
        run: RunId,
        prepared: Arc<Prepared>,
        evictions: Vec<LockEviction>,
        seen_takers: Vec<SeenTaker>,
        binding: Arc<RunBinding>,
        reply: RunReply,
    },
    /// Executes a run that this process has acquired.
    Adopt { run: Box<AcquiredRun>, reply: RunReply },
    /// Applies the result of an attempt.
    AttemptEnded(AttemptEnded),
    /// Stores a checkpoint; the attempt waits for the confirmation.
    Checkpoint { run: RunId, request: CheckpointRequest, reply: CheckpointReply },
    /// Stops executing a run that another process has acquired. Its attempts are cancelled already.
    LeaseLost { run: RunId, epoch: Epoch },
    /// Stops executing all runs, since the journal is not the one that was opened any more.
    JournalDisplaced(JournalError),
    /// Stores an entry of the run; an attempt waits for the confirmation.
    Record { run: RunId, entry: Entry, reply: CheckpointReply },
    /// Ends a run that has lost a lock in an external system, once its attempts have ended.
    LockLost { run: RunId },
    /// Starts no further attempts, interrupts the running ones and releases the runs.
    Drain,
}

/// A checkpoint that an attempt stores for later attempts.
pub(super) struct CheckpointRequest {
    pub(super) step: StepId,
    pub(super) attempt: u32,
    pub(super) value: Value,
    /// Changes that the attempt has made so far.
    pub(super) changes: Vec<String>,
}

/// Result of an attempt.
pub(super) struct AttemptEnded {
    pub(super) run: RunId,
    pub(super) step: StepId,
    pub(super) attempt: u32,
    pub(super) mode: AttemptMode,
    pub(super) result: Result<FindResult<Value>, ActionError>,
    /// Changes that the attempt has made.
    pub(super) changes: Vec<String>,
}
