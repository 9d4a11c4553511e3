//! Counts of events, for the report at the end of a run.

use std::collections::BTreeMap;

use stargate::{
    clock::UnixMillis,
    event::{Event, EventKind},
    id::RunId,
};

/// Counts of the events of one run in this process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RunCounts {
    /// Name of the workflow.
    pub(crate) workflow: String,
    /// Time at which this process started or resumed the run.
    pub(crate) started: UnixMillis,
    /// Time of the last event.
    pub(crate) latest: UnixMillis,
    /// Number of steps that were done before.
    pub(crate) done_before: usize,
    /// Number of steps that succeeded or were skipped since.
    pub(crate) done: usize,
    /// Number of steps, with the known instances.
    pub(crate) total: usize,
    /// Number of steps that changed something since.
    pub(crate) changed: usize,
}

/// Counts of all runs of this process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Summary(BTreeMap<RunId, RunCounts>);

impl Summary {
    /// Returns the runs that had events.
    pub(crate) fn runs(&self) -> Vec<RunId> {
        self.0.keys().cloned().collect()
    }

    /// Returns the counts of a run; zero if it had no events.
    pub(crate) fn of(&self, run: &RunId) -> RunCounts {
        self.0.get(run).cloned().unwrap_or_default()
    }

    /// Counts an event.
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
            EventKind::RunBound { .. }
            | EventKind::StepStarted { .. }
            | EventKind::StepProgress { .. }
            | EventKind::StepLog { .. }
            | EventKind::StepRetrying { .. }
            | EventKind::ApprovalRequested { .. }
            | EventKind::StepAnswered { .. }
            | EventKind::FinallyStarted { .. }
            | EventKind::RunFinished { .. }
            | EventKind::LockAwaited { .. }
            | EventKind::CancelRequested { .. }
            | EventKind::RunInterrupted => {}
        }
    }
}

impl RunCounts {
    /// Resets the counts, because a run is started or resumed.
    fn start(&mut self, at: UnixMillis, workflow: &str, total: usize, done_before: usize) {
        *self = Self { workflow: workflow.into(), started: at, latest: at, done_before, total, ..Self::default() };
    }
}
