use std::collections::BTreeMap;

use stargate::{
    clock::UnixMillis,
    event::{Event, EventKind},
    id::RunId,
};

/// What the events of one run come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RunCounts {
    /// Name of the workflow.
    pub(crate) workflow: String,
    /// When this process began with it.
    pub(crate) started: UnixMillis,
    /// When it was last heard of.
    pub(crate) latest: UnixMillis,
    /// Steps that were done done_before this process began.
    pub(crate) done_before: usize,
    /// Steps that succeeded or were left out since.
    pub(crate) done: usize,
    /// Steps known of.
    pub(crate) total: usize,
    /// Steps that changed something since.
    pub(crate) changed: usize,
}

/// What the events come to, run by run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Summary(BTreeMap<RunId, RunCounts>);

impl Summary {
    /// The runs that were heard of.
    pub(crate) fn runs(&self) -> Vec<RunId> {
        self.0.keys().cloned().collect()
    }

    /// What was counted for a run.
    pub(crate) fn of(&self, run: &RunId) -> RunCounts {
        self.0.get(run).cloned().unwrap_or_default()
    }

    /// Takes an event into account.
    pub(crate) fn count(&mut self, event: &Event) {
        if matches!(event.kind, EventKind::LockAwaited { .. }) {
            return; // a run that waits for its locks has not started
        }
        let count = self.0.entry(event.run.clone()).or_default();
        count.latest = event.at;
        match &event.kind {
            EventKind::RunStarted { workflow, steps } => count.start(event.at, workflow, steps.len(), 0),
            EventKind::RunResumed { workflow, steps, done } => count.start(event.at, workflow, steps.len(), done.len()),
            EventKind::StepExpanded { instances, .. } => {
                count.total = (count.total + instances.len()).saturating_sub(1);
            }
            EventKind::StepSucceeded { changes, .. } => {
                count.done += 1;
                count.changed += usize::from(!changes.is_empty());
            }
            EventKind::StepFailed { changes, .. } | EventKind::StepInDoubt { changes, .. } => {
                count.changed += usize::from(!changes.is_empty());
            }
            EventKind::StepSkipped { .. } => count.done += 1,
            EventKind::StepStarted { .. }
            | EventKind::StepProgress { .. }
            | EventKind::StepLog { .. }
            | EventKind::StepRetrying { .. }
            | EventKind::ApprovalRequested { .. }
            | EventKind::StepAnswered { .. }
            | EventKind::RunFinished { .. }
            | EventKind::LockAwaited { .. }
            | EventKind::CancelRequested { .. }
            | EventKind::RunInterrupted => {}
        }
    }
}

impl RunCounts {
    fn start(&mut self, at: UnixMillis, workflow: &str, total: usize, done_before: usize) {
        *self = Self { workflow: workflow.into(), started: at, latest: at, done_before, total, ..Self::default() };
    }
}
