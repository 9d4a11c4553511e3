//! External entries of a run that this process owns: cancel requests and answers.

use stargate_sdk::ActionError;
use tokio_util::sync::CancellationToken;

use super::{LiveRun, outbox::is_result};
use crate::{
    clock::UnixMillis,
    event::EventKind,
    journal::StoredRun,
    run::{Entry, RunState, StepId, StepState, TimedEntry},
};

impl LiveRun {
    /// Applies an external entry. Returns `false` if the state does not permit it.
    ///
    /// That happens if the run has just finished: its commit will be refused, and the run is
    /// rebased then.
    pub(in crate::engine) fn apply_external(&mut self, timed: &TimedEntry) -> bool {
        if self.state.apply(timed.at, &timed.entry).is_err() {
            return false;
        }
        self.seq = self.seq.plus(1);
        self.report_external(&timed.entry);
        true
    }

    fn report_external(&mut self, entry: &Entry) {
        match entry {
            Entry::CancelRequested { by } => {
                self.outbox.events.push(EventKind::CancelRequested { by: by.clone() });
                self.cancel_attempts();
            }
            Entry::StepAnswered { step, by, answer } => {
                let (step, by, answer) = (step.clone(), by.clone(), answer.clone());
                self.outbox.events.push(EventKind::StepAnswered { step, by, answer });
            }
            _ => {}
        }
    }

    /// Cancels the running attempts.
    pub(in crate::engine) fn cancel_attempts(&self) {
        self.in_flight.values().for_each(CancellationToken::cancel);
    }

    /// Rebases the run on the stored entries after a commit was refused because of external
    /// entries.
    ///
    /// Returns `false` if the stored entries contain anything else: then another process owns the
    /// run.
    pub(in crate::engine) fn rebase_on(&mut self, now: UnixMillis, stored: &StoredRun) -> bool {
        let Ok(state) = RunState::recover(self.prepared.plan(), &stored.history, &stored.latest) else { return false };
        let refused = self.outbox.take_refused();
        let known = usize::try_from(self.durable_seq.0).unwrap_or(usize::MAX).min(stored.history.len());
        let external = &stored.history[known..];
        if external.is_empty() || !external.iter().all(|timed| timed.entry.is_external()) {
            return false;
        }
        let is_cancelling = state.is_cancelling();
        self.state = state;
        self.seq = stored.row.seq;
        self.rebased = true;
        if is_cancelling {
            self.reapply_results(now, refused);
        } else if !self.reapply_decisions(refused) {
            return false;
        }
        for timed in external {
            self.report_external(&timed.entry);
        }
        true
    }

    /// Applies the results of attempts again. All else that was refused is void, since the run is
    /// being cancelled.
    fn reapply_results(&mut self, now: UnixMillis, refused: Vec<TimedEntry>) {
        for timed in refused.into_iter().filter(|timed| is_result(&timed.entry)) {
            if self.state.apply(timed.at, &timed.entry).is_ok() {
                self.outbox.push(timed);
            }
        }
        self.outbox.retain_results();
        self.mark_lost_in_doubt(now);
    }

    /// Applies the refused entries again, except the end of the run: an answer concerns other steps
    /// than they do.
    fn reapply_decisions(&mut self, refused: Vec<TimedEntry>) -> bool {
        self.outbox.retract_finish();
        self.output_error = None;
        let mut are_legal = true;
        for timed in refused.into_iter().filter(|timed| !matches!(timed.entry, Entry::RunFinished { .. })) {
            are_legal &= self.state.apply(timed.at, &timed.entry).is_ok();
            self.outbox.push(timed);
        }
        are_legal
    }

    /// Marks steps as in doubt, or as failed if they only read, whose attempt has ended and whose
    /// next attempt will not start.
    fn mark_lost_in_doubt(&mut self, now: UnixMillis) {
        let is_lost = |id: &StepId| {
            matches!(self.state.state(*id), StepState::Running { .. }) && !self.in_flight.contains_key(id)
        };
        let lost: Vec<_> = self.state.steps().filter(is_lost).collect();
        for step in lost {
            let error = ActionError::unknown("the run was cancelled before another attempt started");
            if self.only_reads(step) {
                self.fail(now, step, error);
            } else {
                self.mark_in_doubt(now, step, error.into());
            }
        }
    }
}
