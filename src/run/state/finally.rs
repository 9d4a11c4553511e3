//! Steps under `finally`, which start when all others have ended.

use super::{Listing, NodeProgress, Progress, RunState, StepId, StepState};
use crate::run::{IllegalEntry, Outcome};

/// Progress of the steps under `finally`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FinallyPhase {
    /// Outcome of the steps before.
    pub(super) outcome: Outcome,
    /// True once an operator has requested that these steps end, too.
    pub(super) cancelling: bool,
}

impl RunState {
    /// Returns the outcome of the steps that are not under `finally`, once they have ended and
    /// those under it have started.
    pub fn outcome_before_finally(&self) -> Option<Outcome> {
        self.finally.map(|phase| phase.outcome)
    }

    /// True if the run has steps under `finally` that must start before the run finishes with this
    /// outcome. An outcome that waits for an operator is not the end of the run.
    pub fn needs_finally(&self, outcome: Outcome) -> bool {
        let is_end = match outcome {
            Outcome::Succeeded | Outcome::Failed | Outcome::Cancelled => true,
            Outcome::InDoubt | Outcome::AwaitingApproval => false,
        };
        is_end && self.finally.is_none() && self.nodes.iter().any(|node| node.is_finally)
    }

    /// True if the step can be executed now: only steps under `finally` once they have started,
    /// and only the others before.
    pub(in crate::run) fn is_active(&self, id: StepId) -> bool {
        self.nodes[self.node(id)].is_finally == self.finally.is_some()
    }

    /// True if no step can be executed now.
    pub(super) fn is_idle(&self) -> bool {
        let is_active = |id: &StepId| self.is_active(*id);
        self.running == 0
            && !self.ready.iter().any(is_active)
            && !self.unknown.iter().any(is_active)
            && !self.backing_off.iter().any(|(_, id)| is_active(id))
    }

    /// Returns the outcome of the run when the steps under `finally` have ended. Their failures
    /// fail a run that has succeeded before, and replace no other outcome.
    pub(super) fn ending_of_finally(&self) -> Option<Outcome> {
        let before = self.finally?.outcome;
        Some(match before {
            Outcome::Succeeded if self.open_finally > 0 && self.failed == 0 && self.in_doubt > 0 => Outcome::InDoubt,
            Outcome::Succeeded if self.open_finally > 0 => Outcome::Failed,
            outcome => outcome,
        })
    }

    pub(super) fn finally_started(&mut self, outcome: Outcome) -> Result<(), IllegalEntry> {
        if self.progress != Progress::Running || self.finally.is_some() {
            return Err(IllegalEntry::Run { entry: "finally_started", state: self.progress.name() });
        }
        self.finally = Some(FinallyPhase { outcome, cancelling: false });
        for index in self.finally_nodes() {
            self.count_settled_edge(index, None);
            self.unblock_if_free(StepId::of(index));
        }
        Ok(())
    }

    pub(super) fn finally_nodes(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|&index| self.nodes[index].is_finally).collect()
    }

    /// True if an owner that acquires the run continues the steps under `finally`: it was
    /// interrupted in the middle of them, or only they have failed.
    pub(super) fn stays_in_finally(&self) -> bool {
        self.finally.is_some_and(|phase| self.progress == Progress::Running || phase.outcome == Outcome::Succeeded)
    }

    /// Returns to the steps that are not under `finally`. Those under it start again when these
    /// have ended, except those that are in doubt.
    pub(super) fn leave_finally(&mut self) {
        self.finally = None;
        for index in self.finally_nodes() {
            let node = &mut self.nodes[index];
            node.progress = NodeProgress::Pending;
            let mut instances = std::mem::take(&mut node.instances);
            node.former_instances.append(&mut instances);
        }
        let ids: Vec<_> = self.steps().filter(|id| self.nodes[self.node(*id)].is_finally).collect();
        for id in ids {
            let instance = &mut self.instances[id.index()];
            instance.kept = None;
            if let StepState::Unknown { attempt } | StepState::BackingOff { attempt, .. } = &instance.state {
                instance.interrupted = Some(attempt.number);
            }
            if instance.of.is_some() {
                instance.listing = Listing::Unlisted;
            }
            if !matches!(instance.state, StepState::InDoubt { .. }) {
                self.set(id, StepState::Blocked { by: 0 });
            }
        }
    }

    /// Ends attempts of steps that are not under `finally`: the stored latest attempt of a step can
    /// be older than the end of a cancelled run's steps.
    pub(super) fn end_attempts_before_finally(&mut self) {
        if self.finally.is_none() {
            return;
        }
        for id in self.steps() {
            if let StepState::Running { attempt, .. } = *self.state(id)
                && !self.is_active(id)
            {
                self.set(id, StepState::Unknown { attempt });
                self.count_unconfirmed_changes(id);
            }
        }
    }
}
