//! Effect of each entry on the state.

use serde_json::Value;
use stargate_sdk::{ActionError, TargetId};

use super::{ApprovalDecision, FailureReach, IllegalEntry, Listing, Progress, RunState, StepId, StepState, add_new};
use crate::{
    clock::UnixMillis,
    plan::Outputs,
    run::{Answer, Attempt, AttemptMode, AttemptTransition, Entry, Outcome, Shared},
};

impl RunState {
    /// Applies one entry.
    ///
    /// # Errors
    /// [`IllegalEntry`] if the entry cannot follow the entries before it; then the state is
    /// unchanged.
    pub fn apply(&mut self, at: UnixMillis, entry: &Entry) -> Result<(), IllegalEntry> {
        match entry {
            Entry::RunCreated { .. } => self.run_created(),
            Entry::RunAcquired { refresh, .. } => self.run_acquired(at, *refresh),
            Entry::RunReopened => self.run_reopened(),
            Entry::StepsReset { steps } => self.steps_reset(steps),
            Entry::TargetRecorded { target, identity } => self.target_recorded(target, identity),
            Entry::CancelRequested { .. } => self.cancel_requested(),
            Entry::ApprovalRequested { step, question } => self.approval_requested(step, question),
            Entry::StepAnswered { step, answer, .. } => self.step_answered(step, answer),
            Entry::StepExpanded { step, keys } => self.step_expanded(step, keys),
            Entry::StepStarted { step, attempt, changes } => self.step_started(at, step, *attempt, changes),
            Entry::AttemptChanged { step, attempt, to, changes } => self.attempt_changed(step, *attempt, to, changes),
            Entry::Checkpointed { step, value, attempt, changes } => {
                self.expect(step, "checkpointed", |_| true)?;
                self.set_checkpoint(step, value, *attempt, changes)
            }
            Entry::StepSucceeded { step, output, changes, .. } => self.step_succeeded(step, output, changes),
            Entry::StepSkipped { step } => self.step_skipped(step),
            Entry::StepStopped { step } => self.step_stopped(step),
            Entry::StepFailed { step, error, changes } => self.step_failed(step, error, changes),
            Entry::StepInDoubt { step, error, changes } => self.step_in_doubt(step, error, changes),
            Entry::FinallyStarted { outcome } => self.finally_started(*outcome),
            Entry::RunFinished { outcome, outputs } => self.run_finished(*outcome, outputs),
        }
    }

    fn run_created(&mut self) -> Result<(), IllegalEntry> {
        if self.progress != Progress::New {
            return Err(IllegalEntry::Run { entry: "run_created", state: self.progress.name() });
        }
        self.progress = Progress::Running;
        for index in 0..self.nodes.len() {
            self.unblock_if_free(StepId::of(index));
        }
        Ok(())
    }

    fn run_acquired(&mut self, at: UnixMillis, refresh: bool) -> Result<(), IllegalEntry> {
        if self.progress == Progress::New {
            return Err(IllegalEntry::Run { entry: "run_acquired", state: self.progress.name() });
        }
        self.interrupt_attempts(at);
        if refresh && !self.cancelling && !self.stays_in_finally() {
            self.discard_stale_results();
        }
        Ok(())
    }

    fn run_reopened(&mut self) -> Result<(), IllegalEntry> {
        if !matches!(self.progress, Progress::Finished(Outcome::Failed | Outcome::InDoubt | Outcome::AwaitingApproval))
        {
            return Err(IllegalEntry::Run { entry: "run_reopened", state: self.progress.name() });
        }
        let stays = self.stays_in_finally();
        if self.finally.is_some() && !stays {
            self.leave_finally();
        }
        self.progress = Progress::Running;
        for id in self.steps() {
            if matches!(self.state(id), StepState::Failed { .. }) && (!stays || self.is_active(id)) {
                self.forget_refusal(id);
                self.set(id, StepState::Blocked { by: 0 });
            }
        }
        self.rebuild_dependencies();
        Ok(())
    }

    pub(super) fn forget_refusal(&mut self, id: StepId) {
        self.instances[id.index()].decision.take_if(|decision| *decision == ApprovalDecision::Refused);
    }

    fn target_recorded(&mut self, target: &str, identity: &TargetId) -> Result<(), IllegalEntry> {
        if self.progress != Progress::Running {
            return Err(IllegalEntry::Run { entry: "target_recorded", state: self.progress.name() });
        }
        self.targets.insert(target.to_owned(), identity.clone());
        Ok(())
    }

    fn cancel_requested(&mut self) -> Result<(), IllegalEntry> {
        if self.progress != Progress::Running {
            return Err(IllegalEntry::Run { entry: "cancel_requested", state: self.progress.name() });
        }
        match &mut self.finally {
            Some(phase) => phase.cancelling = true,
            None => self.cancelling = true,
        }
        Ok(())
    }

    fn step_expanded(&mut self, step: &str, keys: &[String]) -> Result<(), IllegalEntry> {
        let id = self.expect(step, "step_expanded", |s| matches!(s, StepState::Ready))?;
        self.list_instances(id, keys);
        Ok(())
    }

    fn step_started(
        &mut self,
        at: UnixMillis,
        step: &str,
        number: u32,
        changes: &[String],
    ) -> Result<(), IllegalEntry> {
        let id = self.expect(step, "step_started", |s| matches!(s, StepState::Ready))?;
        if number <= self.attempts(id) {
            return Err(IllegalEntry::Attempt { entry: "step_started", step: step.into(), attempt: number });
        }
        let attempt = Attempt { number, failures: 0, since: at };
        self.changes_so_far(id, changes);
        self.instances[id.index()].attempts = number;
        self.set(id, StepState::Running { attempt, mode: AttemptMode::Run });
        Ok(())
    }

    fn attempt_changed(
        &mut self,
        step: &str,
        attempt: Attempt,
        to: &AttemptTransition,
        changes: &[String],
    ) -> Result<(), IllegalEntry> {
        let id = self.expect(step, "attempt_moved", |s| match s {
            StepState::Running { attempt: current, .. }
            | StepState::BackingOff { attempt: current, .. }
            | StepState::Unknown { attempt: current } => current.number <= attempt.number,
            StepState::Ready
            | StepState::Blocked { .. }
            | StepState::Stopped
            | StepState::Dropped
            | StepState::Expanded { .. }
            | StepState::AwaitingApproval { .. }
            | StepState::InDoubt { .. }
            | StepState::Succeeded { .. }
            | StepState::Skipped
            | StepState::Failed { .. } => false,
        })?;
        self.changes_so_far(id, changes);
        self.instances[id.index()].attempts = attempt.number;
        let state = match to {
            AttemptTransition::Running { mode } => StepState::Running { attempt, mode: *mode },
            AttemptTransition::BackingOff { until, mode, error } => {
                StepState::BackingOff { attempt, until: *until, mode: *mode, error: error.clone() }
            }
        };
        self.set(id, state);
        Ok(())
    }

    pub(super) fn set_checkpoint(
        &mut self,
        step: &str,
        value: &Value,
        attempt: u32,
        changes: &[String],
    ) -> Result<(), IllegalEntry> {
        let entry = "checkpointed";
        let id = self.find(step).ok_or_else(|| IllegalEntry::NoSuchStep { entry, step: step.into() })?;
        let instance = &mut self.instances[id.index()];
        // That of an attempt before the step was reset is void.
        if instance.resets == 0 || attempt > instance.reset_after {
            instance.checkpoint = value.clone();
        }
        match self.state(id) {
            StepState::Running { attempt: current, .. } if current.number == attempt => {
                self.instances[id.index()].unconfirmed_changes = changes.to_vec();
            }
            StepState::Unknown { attempt: unknown } if unknown.number == attempt => {
                self.add_changes(id, changes.to_vec());
            }
            _ if self.instances[id.index()].interrupted == Some(attempt) => self.add_changes(id, changes.to_vec()),
            _ => {} // a later entry of the step has the changes of that attempt
        }
        Ok(())
    }

    /// Counts the changes that an attempt with an unknown outcome had stored: no more will become
    /// known of it.
    pub(super) fn count_unconfirmed_changes(&mut self, id: StepId) {
        let changes = std::mem::take(&mut self.instances[id.index()].unconfirmed_changes);
        self.add_changes(id, changes);
    }

    pub(super) fn add_changes(&mut self, id: StepId, changes: Vec<String>) {
        self.record_whether_changed(id, &changes);
        add_new(&mut self.instances[id.index()].changes, changes);
    }

    /// Records all changes of the step's attempts until now, and that a new attempt begins.
    fn changes_so_far(&mut self, id: StepId, changes: &[String]) {
        let instance = &mut self.instances[id.index()];
        instance.changes = changes.to_vec();
        instance.unconfirmed_changes.clear();
        instance.interrupted = None;
        instance.kept = None;
        self.record_whether_changed(id, changes);
    }

    fn record_whether_changed(&mut self, id: StepId, changes: &[String]) {
        self.instances[id.index()].has_changed |= !changes.is_empty();
        self.changed |= !changes.is_empty();
    }

    fn step_succeeded(&mut self, step: &str, output: &Shared<Value>, changes: &[String]) -> Result<(), IllegalEntry> {
        // Unknown as well: the attempt that followed a takeover is not in the history once the step
        // has finished.
        let legal = |s: &StepState| matches!(s, StepState::Running { .. } | StepState::Unknown { .. });
        let id = self.expect(step, "step_succeeded", legal)?;
        self.clear_changes(id, changes);
        self.succeed(id, output.clone());
        Ok(())
    }

    fn step_skipped(&mut self, step: &str) -> Result<(), IllegalEntry> {
        let id = self.expect(step, "step_skipped", |s| matches!(s, StepState::Ready))?;
        self.set(id, StepState::Skipped);
        self.settle(id, None);
        Ok(())
    }

    fn step_stopped(&mut self, step: &str) -> Result<(), IllegalEntry> {
        let id = self.expect(step, "step_stopped", |s| matches!(s, StepState::Ready))?;
        let reach = self.nodes[self.node(id)].failed_need.unwrap_or(FailureReach::Run);
        self.stop(id, reach);
        Ok(())
    }

    fn step_failed(&mut self, step: &str, error: &ActionError, changes: &[String]) -> Result<(), IllegalEntry> {
        let id = self.expect(step, "step_failed", |s| {
            matches!(
                s,
                StepState::Ready | StepState::Running { .. } | StepState::Unknown { .. } | StepState::BackingOff { .. }
            )
        })?;
        self.clear_changes(id, changes);
        self.fail(id, error);
        Ok(())
    }

    fn step_in_doubt(&mut self, step: &str, error: &ActionError, changes: &[String]) -> Result<(), IllegalEntry> {
        let id = self.expect(step, "step_in_doubt", |s| {
            matches!(s, StepState::Running { .. } | StepState::Unknown { .. } | StepState::BackingOff { .. })
        })?;
        self.clear_changes(id, changes);
        self.set(id, StepState::InDoubt { error: error.clone() });
        Ok(())
    }

    /// Forgets the changes of the step's attempts: the entry in the history has all of them as
    /// `changes`.
    fn clear_changes(&mut self, id: StepId, changes: &[String]) {
        self.changes_so_far(id, &[]);
        self.record_whether_changed(id, changes);
    }

    fn fail(&mut self, id: StepId, error: &ActionError) {
        self.set(id, StepState::Failed { error: error.clone() });
        self.settle(id, Some(self.nodes[self.node(id)].failure_reach()));
    }

    fn approval_requested(&mut self, step: &str, question: &str) -> Result<(), IllegalEntry> {
        let id = self.expect(step, "approval_requested", |s| matches!(s, StepState::Ready))?;
        self.set(id, StepState::AwaitingApproval { question: question.to_owned() });
        Ok(())
    }

    fn step_answered(&mut self, step: &str, answer: &Answer) -> Result<(), IllegalEntry> {
        let is_legal = |state: &StepState| match answer {
            Answer::Approved | Answer::Refused { .. } => matches!(state, StepState::AwaitingApproval { .. }),
            Answer::Done { .. } | Answer::NotDone => matches!(state, StepState::InDoubt { .. }),
        };
        let id = self.expect(step, "step_answered", is_legal)?;
        match answer {
            Answer::Approved => self.approve(id),
            Answer::Refused { error } => {
                self.instances[id.index()].decision = Some(ApprovalDecision::Refused);
                self.fail(id, error);
            }
            Answer::Done { output } => self.succeed(id, output.clone().into()),
            Answer::NotDone => self.reset_step(id),
        }
        Ok(())
    }

    fn approve(&mut self, id: StepId) {
        if let StepState::AwaitingApproval { question } = self.state(id).clone() {
            self.instances[id.index()].decision = Some(ApprovalDecision::Approved { question });
            self.set(id, StepState::Ready);
        }
    }

    /// Lets a step that did not take effect start again. An instance needs a slot first.
    fn reset_step(&mut self, id: StepId) {
        let instance = &self.instances[id.index()];
        match (&instance.of, instance.listing) {
            (None, _) => self.set(id, StepState::Ready),
            (Some(_), Listing::Listed) => self.enqueue(id),
            (Some(_), Listing::Unlisted | Listing::Dropped) => self.set(id, StepState::Blocked { by: 0 }),
        }
    }

    fn run_finished(&mut self, outcome: Outcome, outputs: &Shared<Outputs>) -> Result<(), IllegalEntry> {
        if self.progress != Progress::Running {
            return Err(IllegalEntry::Run { entry: "run_finished", state: self.progress.name() });
        }
        self.progress = Progress::Finished(outcome);
        // Attempts of a cancelled run can be running; their outcomes remain unknown.
        for id in self.steps() {
            self.count_unconfirmed_changes(id);
        }
        self.outputs.clone_from(outputs);
        Ok(())
    }

    fn expect(
        &self,
        step: &str,
        entry: &'static str,
        legal: impl Fn(&StepState) -> bool,
    ) -> Result<StepId, IllegalEntry> {
        let id = self.find(step).ok_or_else(|| IllegalEntry::NoSuchStep { entry, step: step.into() })?;
        if self.progress != Progress::Running {
            return Err(IllegalEntry::Run { entry, state: self.progress.name() });
        }
        if !legal(self.state(id)) {
            return Err(IllegalEntry::Step { entry, step: step.into(), state: self.state(id).name() });
        }
        Ok(id)
    }
}
