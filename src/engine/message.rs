use std::sync::Arc;

use serde_json::Value;
use stargate_sdk::{ActionError, FindResult};
use tokio::sync::oneshot;

use super::{EngineError, Finished, Prepared, live::LiveRun};
use crate::{
    id::RunId,
    journal::LockEviction,
    run::{AttemptMode, StepId},
};

pub(super) type Reply = oneshot::Sender<Result<Finished, EngineError>>;

/// What the dispatcher is told. Every sender awaits room in the channel; the dispatcher awaits none of them.
pub(super) enum Message {
    /// Create a run and advance it.
    Start { run: RunId, prepared: Arc<Prepared>, evictions: Vec<LockEviction>, reply: Reply },
    /// Advance a run that was taken over.
    Adopt { live: Box<LiveRun> },
    /// An attempt has ended.
    Ended(Ended),
    /// An attempt wants something stored; it waits for the acknowledgement.
    Checkpoint { run: RunId, saved: Saved, stored: oneshot::Sender<Result<(), ActionError>> },
    /// Start nothing more, interrupt what runs, and give the runs up.
    Drain,
}

/// What an attempt wants stored for the next one.
pub(super) struct Saved {
    pub(super) step: StepId,
    pub(super) attempt: u32,
    pub(super) value: Value,
    /// What it has changed so far.
    pub(super) changes: Vec<String>,
}

/// How an attempt ended.
pub(super) struct Ended {
    pub(super) run: RunId,
    pub(super) step: StepId,
    pub(super) attempt: u32,
    pub(super) mode: AttemptMode,
    pub(super) result: Result<FindResult<Value>, ActionError>,
    pub(super) changes: Vec<String>,
}
