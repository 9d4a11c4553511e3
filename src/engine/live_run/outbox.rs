use std::sync::Arc;

use serde_json::Value;

use crate::{
    engine::message::CheckpointReply,
    event::EventKind,
    run::{AttemptMode, Entry, StepId, TimedEntry},
};

/// An attempt that starts once its entry is durable.
pub(in crate::engine) struct PendingStart {
    pub(in crate::engine) step: StepId,
    pub(in crate::engine) attempt: u32,
    pub(in crate::engine) mode: AttemptMode,
    pub(in crate::engine) input: Value,
}

/// Consequences of decisions that are not durable yet: entries to commit, and what follows the
/// commit.
#[derive(Default)]
pub(in crate::engine) struct Outbox {
    /// Entries of the next commit.
    entries: Vec<TimedEntry>,
    /// Entries of the commit in progress.
    committing: Arc<[TimedEntry]>,
    /// Events to report after the commit.
    pub(in crate::engine) events: Vec<EventKind>,
    /// Attempts to start after the commit.
    pub(in crate::engine) starts: Vec<PendingStart>,
    /// Attempts that wait until their checkpoint is durable.
    pub(in crate::engine) checkpoint_replies: Vec<CheckpointReply>,
}

impl Outbox {
    /// Adds an entry to the next commit.
    pub(super) fn push(&mut self, timed: TimedEntry) {
        self.entries.push(timed);
    }

    /// Returns the entries of the next commit, and keeps them in case the commit is refused.
    pub(super) fn begin_commit(&mut self) -> Arc<[TimedEntry]> {
        self.committing = std::mem::take(&mut self.entries).into();
        Arc::clone(&self.committing)
    }

    /// Returns the entries of the commit that was refused.
    pub(super) fn take_refused(&mut self) -> Vec<TimedEntry> {
        std::mem::take(&mut self.committing).to_vec()
    }

    /// Forgets the entries of a commit that is durable.
    pub(in crate::engine) fn end_commit(&mut self) {
        self.committing = Arc::default();
    }

    /// True if there is nothing to commit.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Discards the end of the run, which a refused commit has not made durable.
    pub(super) fn retract_finish(&mut self) {
        self.events.retain(|kind| !matches!(kind, EventKind::RunFinished { .. }));
    }

    /// Discards everything but the results of attempts: no attempt starts any more.
    pub(super) fn retain_results(&mut self) {
        self.events.retain(|kind| {
            matches!(
                kind,
                EventKind::StepSucceeded { .. } | EventKind::StepFailed { .. } | EventKind::StepInDoubt { .. }
            )
        });
        self.starts.clear();
    }
}

/// True for what an attempt has stored or resulted in. All other entries follow from the state and
/// are decided again.
pub(super) fn is_result(entry: &Entry) -> bool {
    match entry {
        Entry::StepSucceeded { .. }
        | Entry::StepFailed { .. }
        | Entry::StepInDoubt { .. }
        | Entry::Checkpointed { .. }
        | Entry::TargetRecorded { .. } => true,
        Entry::RunCreated { .. }
        | Entry::RunAcquired { .. }
        | Entry::RunReopened
        | Entry::StepsReset { .. }
        | Entry::CancelRequested { .. }
        | Entry::ApprovalRequested { .. }
        | Entry::StepAnswered { .. }
        | Entry::StepExpanded { .. }
        | Entry::StepStarted { .. }
        | Entry::AttemptChanged { .. }
        | Entry::StepSkipped { .. }
        | Entry::StepStopped { .. }
        | Entry::FinallyStarted { .. }
        | Entry::RunFinished { .. } => false,
    }
}
