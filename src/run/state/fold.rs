//! Effect of each entry on the state.

use serde_json::{Map, Value};
use stargate_sdk::ActionError;

use super::{IllegalEntry, Progress, RunState, StepId, StepInstance, StepState, add_new};
use crate::{
    clock::UnixMillis,
    run::{Answer, Attempt, AttemptMode, AttemptTransition, Entry, Outcome},
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
            Entry::RunAcquired { .. } => self.run_acquired(at),
            Entry::RunReopened => self.run_reopened(),
            Entry::CancelRequested { .. } => self.cancel_requested(),
            Entry::ApprovalRequested { step, question } => self.approval_requested(step, question),
            Entry::StepAnswered { step, answer, .. } => self.step_answered(step, answer),
            Entry::StepExpanded { step, keys } => self.step_expanded(step, keys),
            Entry::StepStarted { step, attempt } => self.step_started(at, step, *attempt),
            Entry::AttemptChanged { step, attempt, to, changes } => self.attempt_changed(step, *attempt, to, changes),
            Entry::Checkpointed { step, value, attempt, changes } => {
                self.expect(step, "checkpointed", |_| true)?;
                self.set_checkpoint(step, value, *attempt, changes)
            }
            Entry::StepSucceeded { step, output, changes, .. } => self.step_succeeded(step, output, changes),
            Entry::StepSkipped { step } => self.step_skipped(step),
            Entry::StepFailed { step, error, changes } => self.step_failed(step, error, changes),
            Entry::StepInDoubt { step, error, changes } => self.step_in_doubt(step, error, changes),
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

    fn run_acquired(&mut self, at: UnixMillis) -> Result<(), IllegalEntry> {
        if self.progress == Progress::New {
            return Err(IllegalEntry::Run { entry: "run_acquired", state: self.progress.name() });
        }
        for id in self.steps() {
            match &mut self.instances[id.index()].state {
                StepState::Running { attempt, .. } => {
                    let attempt = Attempt { failures: 0, since: at, ..*attempt };
                    self.set(id, StepState::Unknown { attempt });
                    self.count_unconfirmed_changes(id);
                }
                StepState::BackingOff { attempt, .. } | StepState::Unknown { attempt } => {
                    *attempt = Attempt { failures: 0, since: at, ..*attempt };
                }
                StepState::Blocked { .. }
                | StepState::Ready
                | StepState::Expanded { .. }
                | StepState::AwaitingApproval { .. }
                | StepState::InDoubt { .. }
                | StepState::Succeeded { .. }
                | StepState::Skipped
                | StepState::Failed { .. } => {}
            }
        }
        Ok(())
    }

    fn run_reopened(&mut self) -> Result<(), IllegalEntry> {
        if !matches!(self.progress, Progress::Finished(Outcome::Failed | Outcome::InDoubt | Outcome::AwaitingApproval))
        {
            return Err(IllegalEntry::Run { entry: "run_reopened", state: self.progress.name() });
        }
        self.progress = Progress::Running;
        for id in self.steps() {
            if matches!(self.state(id), StepState::Failed { .. }) {
                self.reset_step(id);
            }
        }
        Ok(())
    }

    fn cancel_requested(&mut self) -> Result<(), IllegalEntry> {
        if self.progress != Progress::Running {
            return Err(IllegalEntry::Run { entry: "cancel_requested", state: self.progress.name() });
        }
        self.cancelling = true;
        Ok(())
    }

    fn step_expanded(&mut self, step: &str, keys: &[String]) -> Result<(), IllegalEntry> {
        let id = self.expect(step, "step_expanded", |s| matches!(s, StepState::Ready))?;
        let node = self.node(id);
        self.set(id, StepState::Expanded { open: keys.len() });
        for key in keys {
            let child = StepId::of(self.instances.len());
            let name = format!("{step}[{key}]");
            self.names.insert(name.clone(), child);
            let state = StepState::Blocked { by: 1 };
            self.instances.push(StepInstance::new(name, node, Some((id, key.clone())), state));
            self.nodes[node].instances.push(child);
            self.nodes[node].queue.push_back(child);
        }
        self.assign_slots(node);
        if keys.is_empty() {
            self.succeed(id, &Value::Object(Map::new()));
        }
        Ok(())
    }

    fn step_started(&mut self, at: UnixMillis, step: &str, number: u32) -> Result<(), IllegalEntry> {
        let id = self.expect(step, "step_started", |s| matches!(s, StepState::Ready))?;
        if number <= self.attempts(id) {
            return Err(IllegalEntry::Attempt { entry: "step_started", step: step.into(), attempt: number });
        }
        let attempt = Attempt { number, failures: 0, since: at };
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
            | StepState::Expanded { .. }
            | StepState::AwaitingApproval { .. }
            | StepState::InDoubt { .. }
            | StepState::Succeeded { .. }
            | StepState::Skipped
            | StepState::Failed { .. } => false,
        })?;
        let instance = &mut self.instances[id.index()];
        instance.attempts = attempt.number;
        instance.changes = changes.to_vec();
        instance.unconfirmed_changes.clear();
        self.changed |= !changes.is_empty();
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
        self.instances[id.index()].checkpoint = value.clone();
        match self.state(id) {
            StepState::Running { attempt: current, .. } if current.number == attempt => {
                self.instances[id.index()].unconfirmed_changes = changes.to_vec();
            }
            StepState::Unknown { attempt: unknown } if unknown.number == attempt => {
                self.add_changes(id, changes.to_vec());
            }
            _ => {} // a later entry of the step has the changes of that attempt
        }
        Ok(())
    }

    /// Counts the changes that an attempt with an unknown outcome had stored: no more will become
    /// known of it.
    fn count_unconfirmed_changes(&mut self, id: StepId) {
        let changes = std::mem::take(&mut self.instances[id.index()].unconfirmed_changes);
        self.add_changes(id, changes);
    }

    fn add_changes(&mut self, id: StepId, changes: Vec<String>) {
        self.changed |= !changes.is_empty();
        add_new(&mut self.instances[id.index()].changes, changes);
    }

    fn step_succeeded(&mut self, step: &str, output: &Value, changes: &[String]) -> Result<(), IllegalEntry> {
        // Unknown as well: the attempt that followed a takeover is not in the history once the step
        // has finished.
        let legal = |s: &StepState| matches!(s, StepState::Running { .. } | StepState::Unknown { .. });
        let id = self.expect(step, "step_succeeded", legal)?;
        self.clear_changes(id, changes);
        self.succeed(id, output);
        Ok(())
    }

    fn step_skipped(&mut self, step: &str) -> Result<(), IllegalEntry> {
        let id = self.expect(step, "step_skipped", |s| matches!(s, StepState::Ready))?;
        self.set(id, StepState::Skipped);
        self.step_finished(id);
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
        self.set(id, StepState::Failed { error: error.clone() });
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
        self.instances[id.index()].changes.clear();
        self.instances[id.index()].unconfirmed_changes.clear();
        self.changed |= !changes.is_empty();
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
            Answer::Approved => {
                self.instances[id.index()].approved = true;
                self.set(id, StepState::Ready);
            }
            Answer::Refused { error } => self.set(id, StepState::Failed { error: error.clone() }),
            Answer::Done { output } => self.succeed(id, output),
            Answer::NotDone => self.reset_step(id),
        }
        Ok(())
    }

    fn run_finished(&mut self, outcome: Outcome, outputs: &Map<String, Value>) -> Result<(), IllegalEntry> {
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

    /// Changes a step's state together with each index over states.
    fn set(&mut self, id: StepId, state: StepState) {
        let before = std::mem::replace(&mut self.instances[id.index()].state, state);
        let had_slot = has_slot(&before);
        match before {
            StepState::Ready => drop(self.ready.remove(&id)),
            StepState::Unknown { .. } => drop(self.unknown.remove(&id)),
            StepState::BackingOff { until, .. } => drop(self.backing_off.remove(&(until, id))),
            StepState::Running { .. } => self.running -= 1,
            StepState::AwaitingApproval { .. } => self.awaiting_approval -= 1,
            StepState::InDoubt { .. } => self.in_doubt -= 1,
            StepState::Failed { .. } => self.failed -= 1,
            StepState::Blocked { .. }
            | StepState::Expanded { .. }
            | StepState::Succeeded { .. }
            | StepState::Skipped => {}
        }
        match &self.instances[id.index()].state {
            StepState::Ready => drop(self.ready.insert(id)),
            StepState::Unknown { .. } => drop(self.unknown.insert(id)),
            StepState::BackingOff { until, .. } => drop(self.backing_off.insert((*until, id))),
            StepState::Running { .. } => self.running += 1,
            StepState::AwaitingApproval { .. } => self.awaiting_approval += 1,
            StepState::InDoubt { .. } => self.in_doubt += 1,
            StepState::Failed { .. } => self.failed += 1,
            StepState::Blocked { .. }
            | StepState::Expanded { .. }
            | StepState::Succeeded { .. }
            | StepState::Skipped => {}
        }
        self.count_slot(id, had_slot);
    }

    /// Counts the slots of a `for_each` step's instances after a change of one, and assigns a slot
    /// that became free.
    fn count_slot(&mut self, id: StepId, had_slot: bool) {
        if self.instances[id.index()].of.is_none() {
            return;
        }
        let node = self.node(id);
        match (had_slot, has_slot(self.state(id))) {
            (false, true) => self.nodes[node].slots_used += 1,
            (true, false) => {
                self.nodes[node].slots_used -= 1;
                self.assign_slots(node);
            }
            (false, false) | (true, true) => {}
        }
    }

    /// Makes waiting instances ready, as many as there are free slots.
    fn assign_slots(&mut self, node: usize) {
        let limit = self.max_parallel[node].map_or(usize::MAX, |limit| limit.max(1) as usize);
        while self.nodes[node].slots_used < limit {
            let Some(next) = self.nodes[node].queue.pop_front() else { return };
            self.set(next, StepState::Ready);
        }
    }

    fn unblock_if_free(&mut self, id: StepId) {
        if matches!(self.state(id), StepState::Blocked { by: 0 }) {
            self.set(id, StepState::Ready);
        }
    }

    /// Lets a step that failed or did not take effect start again. An instance needs a slot first.
    fn reset_step(&mut self, id: StepId) {
        if self.instances[id.index()].of.is_none() {
            return self.set(id, StepState::Ready);
        }
        let node = self.node(id);
        self.set(id, StepState::Blocked { by: 1 });
        self.nodes[node].queue.push_back(id);
        self.assign_slots(node);
    }

    fn succeed(&mut self, id: StepId, output: &Value) {
        self.set(id, StepState::Succeeded { output: output.clone() });
        self.step_finished(id);
    }

    /// Unblocks dependents after a step or instance succeeded or was skipped.
    fn step_finished(&mut self, id: StepId) {
        match self.instances[id.index()].of.as_ref().map(|(parent, _)| *parent) {
            None => self.unblock_dependents(self.node(id)),
            Some(parent) => self.instance_finished(parent),
        }
    }

    fn instance_finished(&mut self, parent: StepId) {
        let StepState::Expanded { open } = &mut self.instances[parent.index()].state else { return };
        *open -= 1;
        if *open == 0 {
            let output = self.collect_outputs(parent);
            self.set(parent, StepState::Succeeded { output });
            self.unblock_dependents(self.node(parent));
        }
    }

    /// Returns the outputs of a `for_each` step's instances by key. Skipped instances have none.
    fn collect_outputs(&self, parent: StepId) -> Value {
        let instances = self.nodes[self.node(parent)].instances.iter();
        let outputs = instances.filter_map(|&child| match self.state(child) {
            StepState::Succeeded { output } => Some((self.key(child)?.to_owned(), output.clone())),
            _ => None,
        });
        Value::Object(outputs.collect())
    }

    /// Makes the steps ready for which this step of the plan was the last dependency.
    fn unblock_dependents(&mut self, node: usize) {
        self.open -= 1;
        for dependent in self.nodes[node].dependents.clone() {
            if let StepState::Blocked { by } = &mut self.instances[dependent].state {
                *by -= 1;
            }
            self.unblock_if_free(StepId::of(dependent));
        }
    }
}

/// True if an instance in this state counts against its step's `max_parallel`.
fn has_slot(state: &StepState) -> bool {
    match state {
        StepState::Ready | StepState::Running { .. } | StepState::BackingOff { .. } | StepState::Unknown { .. } => true,
        StepState::Blocked { .. }
        | StepState::Expanded { .. }
        | StepState::AwaitingApproval { .. }
        | StepState::InDoubt { .. }
        | StepState::Succeeded { .. }
        | StepState::Skipped
        | StepState::Failed { .. } => false,
    }
}
