//! What each entry does to the state.

use serde_json::{Map, Value};
use stargate_sdk::ActionError;

use super::{IllegalEntry, Instance, Progress, RunState, StepId, StepState, add};
use crate::{
    clock::UnixMillis,
    run::{Answer, Attempt, AttemptMode, AttemptTransition, Entry, Outcome},
};

impl RunState {
    /// Takes one entry into account. Total: an entry that cannot follow is an error and changes nothing.
    pub fn apply(&mut self, at: UnixMillis, entry: &Entry) -> Result<(), IllegalEntry> {
        match entry {
            Entry::RunCreated { .. } => self.created(),
            Entry::RunAcquired { .. } => self.acquired(at),
            Entry::RunReopened => self.reopened(),
            Entry::CancelRequested { .. } => self.cancel_requested(),
            Entry::ApprovalAsked { step, question } => self.asked(step, question),
            Entry::StepAnswered { step, answer, .. } => self.answered(step, answer),
            Entry::StepExpanded { step, keys } => self.expanded(step, keys),
            Entry::StepStarted { step, attempt } => self.started(at, step, *attempt),
            Entry::AttemptMoved { step, attempt, to, changes } => self.moved(step, *attempt, to, changes),
            Entry::Checkpointed { step, value, attempt, changes } => {
                self.expect(step, "checkpointed", |_| true)?;
                self.keep_checkpoint(step, value, *attempt, changes)
            }
            Entry::StepSucceeded { step, output, changes, .. } => self.succeeded(step, output, changes),
            Entry::StepSkipped { step } => self.skipped(step),
            Entry::StepFailed { step, error, changes } => self.failed(step, error, changes),
            Entry::StepInDoubt { step, error, changes } => self.doubted(step, error, changes),
            Entry::RunFinished { outcome, outputs } => self.finished(*outcome, outputs),
        }
    }

    fn created(&mut self) -> Result<(), IllegalEntry> {
        if self.progress != Progress::New {
            return Err(IllegalEntry::Run { entry: "run_created", state: self.progress.word() });
        }
        self.progress = Progress::Running;
        for index in 0..self.nodes.len() {
            self.unblock_if_free(StepId::of(index));
        }
        Ok(())
    }

    fn acquired(&mut self, at: UnixMillis) -> Result<(), IllegalEntry> {
        if self.progress == Progress::New {
            return Err(IllegalEntry::Run { entry: "run_acquired", state: self.progress.word() });
        }
        for id in self.steps() {
            match &mut self.instances[id.index()].state {
                StepState::Running { attempt, .. } => {
                    let attempt = Attempt { failures: 0, since: at, ..*attempt };
                    self.set(id, StepState::Unknown { attempt });
                    let told = std::mem::take(&mut self.instances[id.index()].told);
                    self.lost(id, told);
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

    fn reopened(&mut self) -> Result<(), IllegalEntry> {
        if !matches!(self.progress, Progress::Finished(Outcome::Failed | Outcome::InDoubt | Outcome::AwaitingApproval))
        {
            return Err(IllegalEntry::Run { entry: "run_reopened", state: self.progress.word() });
        }
        self.progress = Progress::Running;
        for id in self.steps() {
            if matches!(self.state(id), StepState::Failed { .. }) {
                self.begin_anew(id);
            }
        }
        Ok(())
    }

    fn cancel_requested(&mut self) -> Result<(), IllegalEntry> {
        if self.progress != Progress::Running {
            return Err(IllegalEntry::Run { entry: "cancel_requested", state: self.progress.word() });
        }
        self.cancelling = true;
        Ok(())
    }

    fn expanded(&mut self, step: &str, keys: &[String]) -> Result<(), IllegalEntry> {
        let id = self.expect(step, "step_expanded", |s| matches!(s, StepState::Ready))?;
        let node = self.node(id);
        self.set(id, StepState::Expanded { open: keys.len() });
        for key in keys {
            let child = StepId::of(self.instances.len());
            let name = format!("{step}[{key}]");
            self.names.insert(name.clone(), child);
            let state = StepState::Blocked { by: 1 };
            self.instances.push(Instance::new(name, node, Some((id, key.clone())), state));
            self.nodes[node].children.push(child);
            self.nodes[node].queue.push_back(child);
        }
        self.give_places(node);
        if keys.is_empty() {
            self.done(id, &Value::Object(Map::new()));
        }
        Ok(())
    }

    fn started(&mut self, at: UnixMillis, step: &str, number: u32) -> Result<(), IllegalEntry> {
        let id = self.expect(step, "step_started", |s| matches!(s, StepState::Ready))?;
        if number <= self.attempts(id) {
            return Err(IllegalEntry::Step { entry: "step_started", step: step.into(), state: "past that attempt" });
        }
        let attempt = Attempt { number, failures: 0, since: at };
        self.instances[id.index()].attempts = number;
        self.set(id, StepState::Running { attempt, mode: AttemptMode::Run });
        Ok(())
    }

    fn moved(
        &mut self,
        step: &str,
        to_attempt: Attempt,
        to: &AttemptTransition,
        changes: &[String],
    ) -> Result<(), IllegalEntry> {
        let id = self.expect(step, "attempt_moved", |s| match s {
            StepState::Running { attempt, .. }
            | StepState::BackingOff { attempt, .. }
            | StepState::Unknown { attempt } => attempt.number <= to_attempt.number,
            StepState::Ready
            | StepState::Blocked { .. }
            | StepState::Expanded { .. }
            | StepState::AwaitingApproval { .. }
            | StepState::InDoubt { .. }
            | StepState::Succeeded { .. }
            | StepState::Skipped
            | StepState::Failed { .. } => false,
        })?;
        let attempt = to_attempt;
        self.instances[id.index()].attempts = attempt.number;
        self.instances[id.index()].changes = changes.to_vec();
        self.instances[id.index()].told.clear();
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

    pub(super) fn keep_checkpoint(
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
                self.instances[id.index()].told = changes.to_vec();
            }
            StepState::Unknown { attempt: lost } if lost.number == attempt => self.lost(id, changes.to_vec()),
            _ => {} // that attempt is over, and what followed it has its changes
        }
        Ok(())
    }

    /// Nobody is there to tell of an attempt any more than this.
    fn lost(&mut self, id: StepId, changes: Vec<String>) {
        self.changed |= !changes.is_empty();
        add(&mut self.instances[id.index()].changes, changes);
    }

    fn succeeded(&mut self, step: &str, output: &Value, changes: &[String]) -> Result<(), IllegalEntry> {
        // Unknown, too: the attempt that followed a takeover is not part of the history once the step has ended.
        let legal = |s: &StepState| matches!(s, StepState::Running { .. } | StepState::Unknown { .. });
        let id = self.expect(step, "step_succeeded", legal)?;
        self.told(id, changes);
        self.done(id, output);
        Ok(())
    }

    fn skipped(&mut self, step: &str) -> Result<(), IllegalEntry> {
        let id = self.expect(step, "step_skipped", |s| matches!(s, StepState::Ready))?;
        self.set(id, StepState::Skipped);
        self.ended(id);
        Ok(())
    }

    fn failed(&mut self, step: &str, error: &ActionError, changes: &[String]) -> Result<(), IllegalEntry> {
        let id = self.expect(step, "step_failed", |s| {
            matches!(
                s,
                StepState::Ready | StepState::Running { .. } | StepState::Unknown { .. } | StepState::BackingOff { .. }
            )
        })?;
        self.told(id, changes);
        self.set(id, StepState::Failed { error: error.clone() });
        Ok(())
    }

    fn doubted(&mut self, step: &str, error: &ActionError, changes: &[String]) -> Result<(), IllegalEntry> {
        let id = self.expect(step, "step_in_doubt", |s| {
            matches!(s, StepState::Running { .. } | StepState::Unknown { .. } | StepState::BackingOff { .. })
        })?;
        self.told(id, changes);
        self.set(id, StepState::InDoubt { error: error.clone() });
        Ok(())
    }

    /// The history has what the step's attempts have changed.
    fn told(&mut self, id: StepId, changes: &[String]) {
        self.instances[id.index()].changes.clear();
        self.instances[id.index()].told.clear();
        self.changed |= !changes.is_empty();
    }

    fn asked(&mut self, step: &str, question: &str) -> Result<(), IllegalEntry> {
        let id = self.expect(step, "approval_asked", |s| matches!(s, StepState::Ready))?;
        self.set(id, StepState::AwaitingApproval { question: question.to_owned() });
        Ok(())
    }

    fn answered(&mut self, step: &str, answer: &Answer) -> Result<(), IllegalEntry> {
        let asks = |state: &StepState| match answer {
            Answer::Approved | Answer::Refused { .. } => matches!(state, StepState::AwaitingApproval { .. }),
            Answer::Done { .. } | Answer::NotDone => matches!(state, StepState::InDoubt { .. }),
        };
        let id = self.expect(step, "step_answered", asks)?;
        match answer {
            Answer::Approved => {
                self.instances[id.index()].approved = true;
                self.set(id, StepState::Ready);
            }
            Answer::Refused { error } => self.set(id, StepState::Failed { error: error.clone() }),
            Answer::Done { output } => self.done(id, output),
            Answer::NotDone => self.begin_anew(id),
        }
        Ok(())
    }

    fn finished(&mut self, outcome: Outcome, outputs: &Map<String, Value>) -> Result<(), IllegalEntry> {
        if self.progress != Progress::Running {
            return Err(IllegalEntry::Run { entry: "run_finished", state: self.progress.word() });
        }
        self.progress = Progress::Finished(outcome);
        // Of a run that was cancelled, attempts are kept as they were when their process was lost.
        for id in self.steps() {
            let told = std::mem::take(&mut self.instances[id.index()].told);
            self.lost(id, told);
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
            return Err(IllegalEntry::Run { entry, state: self.progress.word() });
        }
        if !legal(self.state(id)) {
            return Err(IllegalEntry::Step { entry, step: step.into(), state: self.state(id).word() });
        }
        Ok(id)
    }

    /// Changes a step's state and every index over states with it.
    fn set(&mut self, id: StepId, state: StepState) {
        let before = std::mem::replace(&mut self.instances[id.index()].state, state);
        let placed = has_place(&before);
        match before {
            StepState::Ready => drop(self.ready.remove(&id)),
            StepState::Unknown { .. } => drop(self.unknown.remove(&id)),
            StepState::BackingOff { until, .. } => drop(self.waiting.remove(&(until, id))),
            StepState::Running { .. } => self.running -= 1,
            StepState::AwaitingApproval { .. } => self.awaiting -= 1,
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
            StepState::BackingOff { until, .. } => drop(self.waiting.insert((*until, id))),
            StepState::Running { .. } => self.running += 1,
            StepState::AwaitingApproval { .. } => self.awaiting += 1,
            StepState::InDoubt { .. } => self.in_doubt += 1,
            StepState::Failed { .. } => self.failed += 1,
            StepState::Blocked { .. }
            | StepState::Expanded { .. }
            | StepState::Succeeded { .. }
            | StepState::Skipped => {}
        }
        self.count_place(id, placed);
    }

    /// Keeps count of the places that the instances of a `for_each` step have, and gives one that is free to the next.
    fn count_place(&mut self, id: StepId, before: bool) {
        if self.instances[id.index()].of.is_none() {
            return;
        }
        let (node, now) = (self.node(id), has_place(self.state(id)));
        match (before, now) {
            (false, true) => self.nodes[node].placed += 1,
            (true, false) => {
                self.nodes[node].placed -= 1;
                self.give_places(node);
            }
            _ => {}
        }
    }

    /// Lets instances that wait begin, as many as there are free places.
    fn give_places(&mut self, node: usize) {
        let limit = self.max_parallel[node].map_or(usize::MAX, |limit| limit.max(1) as usize);
        while self.nodes[node].placed < limit {
            let Some(next) = self.nodes[node].queue.pop_front() else { return };
            self.set(next, StepState::Ready);
        }
    }

    fn unblock_if_free(&mut self, id: StepId) {
        if matches!(self.state(id), StepState::Blocked { by: 0 }) {
            self.set(id, StepState::Ready);
        }
    }

    /// A step that has failed, or has not happened, is to be made; an instance waits for its place.
    fn begin_anew(&mut self, id: StepId) {
        if self.instances[id.index()].of.is_none() {
            return self.set(id, StepState::Ready);
        }
        let node = self.node(id);
        self.set(id, StepState::Blocked { by: 1 });
        self.nodes[node].queue.push_back(id);
        self.give_places(node);
    }

    fn done(&mut self, id: StepId, output: &Value) {
        self.set(id, StepState::Succeeded { output: output.clone() });
        self.ended(id);
    }

    /// A step or instance has succeeded or was skipped.
    fn ended(&mut self, id: StepId) {
        match self.instances[id.index()].of.as_ref().map(|(parent, _)| *parent) {
            None => self.unblock_dependents(self.node(id)),
            Some(parent) => self.instance_ended(parent),
        }
    }

    fn instance_ended(&mut self, parent: StepId) {
        let StepState::Expanded { open } = &mut self.instances[parent.index()].state else { return };
        *open -= 1;
        if *open == 0 {
            let output = self.collected(parent);
            self.set(parent, StepState::Succeeded { output });
            self.unblock_dependents(self.node(parent));
        }
    }

    fn collected(&self, parent: StepId) -> Value {
        let children = self.nodes[self.node(parent)].children.iter();
        let outputs = children.filter_map(|&child| match self.state(child) {
            StepState::Succeeded { output } => Some((self.key(child)?.to_owned(), output.clone())),
            _ => None,
        });
        Value::Object(outputs.collect())
    }

    /// A step of the plan is done: whatever waited for it alone is ready.
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

/// Whether an instance in this state counts against its step's `max_parallel`.
fn has_place(state: &StepState) -> bool {
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
