//! Counts of events, for the report at the end of a run.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use stargate::{
    clock::UnixMillis,
    event::{Event, EventKind},
    id::RunId,
};

/// Beginning of a captured line that is a warning.
pub(super) const WARNING: &str = "warning: ";
/// Maximum number of warnings that are kept for the end.
const MAX_WARNINGS: usize = 100;

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
    /// Warnings of steps, with the name of the step, [`MAX_WARNINGS`] at most.
    pub(crate) warnings: Vec<(String, String)>,
    /// Start of the first attempt of each step that is not done.
    started_steps: BTreeMap<String, UnixMillis>,
    /// Duration of each step that ended since.
    durations: Vec<(String, Duration)>,
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
            EventKind::StepStarted { step, .. } => count.start_step(step, event.at),
            EventKind::StepLog { step, line } => count.warn(step, line),
            EventKind::StepSucceeded { step, changes, .. } => {
                count.done += 1;
                count.end_step(step, event.at, changes);
            }
            EventKind::StepFailed { step, changes, .. } | EventKind::StepInDoubt { step, changes, .. } => {
                count.end_step(step, event.at, changes);
            }
            EventKind::StepSkipped { .. } => count.done += 1,
            EventKind::RunBound { .. }
            | EventKind::StepProgress { .. }
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
    /// Returns the `number` steps that took the longest, the longest first.
    pub(crate) fn slowest(&self, number: usize) -> Vec<(&str, Duration)> {
        let mut steps: Vec<_> = self.durations.iter().map(|(step, duration)| (step.as_str(), *duration)).collect();
        steps.sort_by_key(|(_, duration)| Reverse(*duration));
        steps.truncate(number);
        steps
    }

    /// Records a start of a step. Retries are part of a step's time.
    fn start_step(&mut self, step: &str, at: UnixMillis) {
        self.started_steps.entry(step.to_owned()).or_insert(at);
    }

    /// Records the end of a step, with its changes.
    fn end_step(&mut self, step: &str, at: UnixMillis, changes: &[String]) {
        self.changed += usize::from(!changes.is_empty());
        let started = self.started_steps.remove(step);
        self.durations.extend(started.map(|started| (step.to_owned(), at.since(started))));
    }

    /// Records a captured line, if it is a warning.
    fn warn(&mut self, step: &str, line: &str) {
        let warning = line.strip_prefix(WARNING).map(|text| (step.to_owned(), text.to_owned()));
        let has_room = self.warnings.len() < MAX_WARNINGS;
        self.warnings.extend(warning.filter(|warning| has_room && !self.warnings.contains(warning)));
    }

    /// Resets the counts, because a run is started or resumed.
    fn start(&mut self, at: UnixMillis, workflow: &str, total: usize, done_before: usize) {
        *self = Self { workflow: workflow.into(), started: at, latest: at, done_before, total, ..Self::default() };
    }
}
