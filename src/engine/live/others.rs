//! What others write to a run that this process advances: that it is to end, and what a person says of a step.

use stargate_sdk::ActionError;
use tokio_util::sync::CancellationToken;

use super::LiveRun;
use crate::{
    clock::UnixMillis,
    event::EventKind,
    journal::StoredRun,
    run::{Entry, RunState, StepId, StepState, StoredIn, TimedEntry},
};

impl LiveRun {
    /// Takes in an entry that this process has not written: that the run is to end, or what a person says of a step.
    pub(in crate::engine) fn written_by_others(&mut self, recorded: &TimedEntry) -> bool {
        if self.state.apply(recorded.at, &recorded.entry).is_err() {
            return false; // It has ended in the meantime, which is not committed yet: the commit will be refused.
        }
        self.seq += 1;
        self.tell_of_others(&recorded.entry);
        true
    }

    fn tell_of_others(&mut self, entry: &Entry) {
        match entry {
            Entry::CancelRequested { by } => self.let_go(by),
            Entry::StepAnswered { step, by, answer } => {
                let (step, by, answer) = (step.clone(), by.clone(), answer.clone());
                self.news.push(EventKind::StepAnswered { step, by, answer });
            }
            _ => {}
        }
    }

    fn let_go(&mut self, by: &str) {
        self.news.push(EventKind::CancelRequested { by: by.to_owned() });
        self.in_flight.values().for_each(CancellationToken::cancel);
    }

    /// Goes on from what the journal has: others have written there what this process has not taken in, so that its last
    /// commit was refused. `false` if that cannot be.
    pub(in crate::engine) fn go_back(&mut self, now: UnixMillis, stored: &StoredRun) -> bool {
        let Ok(state) = RunState::recover(self.prepared.plan(), &stored.history, &stored.latest) else { return false };
        let refused = std::mem::take(&mut self.committing);
        let written = refused.iter().filter(|recorded| recorded.entry.stored_in() == StoredIn::History).count() as u64;
        let theirs = usize::try_from(self.seq - written).unwrap_or(usize::MAX).min(stored.history.len());
        let theirs = &stored.history[theirs..];
        let is_theirs = |entry: &Entry| matches!(entry, Entry::CancelRequested { .. } | Entry::StepAnswered { .. });
        if theirs.is_empty() || !theirs.iter().all(|recorded| is_theirs(&recorded.entry)) {
            return false;
        }
        let is_cancelling = state.is_cancelling();
        self.state = state;
        self.seq = stored.row.seq;
        self.went_back = true;
        if is_cancelling {
            self.keep_outcomes(now, refused);
        } else if !self.keep_decisions(refused) {
            return false;
        }
        for recorded in theirs {
            self.tell_of_others(&recorded.entry);
        }
        true
    }

    /// The run is to end: of what was refused, only what attempts have come to stands.
    fn keep_outcomes(&mut self, now: UnixMillis, refused: Vec<TimedEntry>) {
        let outcomes = refused.into_iter().filter(|recorded| is_outcome(&recorded.entry));
        self.records = outcomes.filter(|recorded| self.state.apply(recorded.at, &recorded.entry).is_ok()).collect();
        self.news.retain(|news| {
            matches!(
                news,
                EventKind::StepSucceeded { .. } | EventKind::StepFailed { .. } | EventKind::StepInDoubt { .. }
            )
        });
        self.starting.clear();
        self.doubt_what_was_lost(now);
    }

    /// A person has answered: what was refused stands, for it is about other steps, but for the run's end.
    fn keep_decisions(&mut self, mut refused: Vec<TimedEntry>) -> bool {
        refused.retain(|recorded| !matches!(recorded.entry, Entry::RunFinished { .. }));
        self.news.retain(|news| !matches!(news, EventKind::RunFinished { .. }));
        self.output_error = None;
        let stands = refused.iter().all(|recorded| self.state.apply(recorded.at, &recorded.entry).is_ok());
        self.records = refused;
        stands
    }

    /// Attempts that have ended, and whose next ones will not be made.
    fn doubt_what_was_lost(&mut self, now: UnixMillis) {
        let lost = |id: &StepId| {
            matches!(self.state.state(*id), StepState::Running { .. }) && !self.in_flight.contains_key(id)
        };
        let lost: Vec<_> = self.state.steps().filter(lost).collect();
        for step in lost {
            self.doubt(now, step, ActionError::unknown("the run was cancelled before another attempt was made").into());
        }
    }
}

/// What an attempt has come to. All else that a turn decides follows from the state, and is decided anew.
fn is_outcome(entry: &Entry) -> bool {
    match entry {
        Entry::StepSucceeded { .. }
        | Entry::StepFailed { .. }
        | Entry::StepInDoubt { .. }
        | Entry::Checkpointed { .. } => true,
        Entry::RunCreated { .. }
        | Entry::RunAcquired { .. }
        | Entry::RunReopened
        | Entry::CancelRequested { .. }
        | Entry::ApprovalAsked { .. }
        | Entry::StepAnswered { .. }
        | Entry::StepExpanded { .. }
        | Entry::StepStarted { .. }
        | Entry::AttemptMoved { .. }
        | Entry::StepSkipped { .. }
        | Entry::RunFinished { .. } => false,
    }
}
