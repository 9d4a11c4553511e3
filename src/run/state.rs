use std::collections::{BTreeSet, HashMap, VecDeque};

use serde_json::{Map, Value};
use stargate_sdk::ActionError;

use super::{Attempt, Entry, Mode, Move, Outcome, Recorded};
use crate::{clock::Millis, plan::Plan};

/// A step, or an instance of a `for_each` step, inside one [`RunState`]. Never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId(u32);

impl StepId {
    fn index(self) -> usize {
        self.0 as usize
    }

    fn of(index: usize) -> Self {
        Self(u32::try_from(index).expect("a run has fewer than 2^32 steps"))
    }
}

/// Where a step stands.
#[derive(Debug, Clone, PartialEq)]
pub enum StepState {
    /// Waits for this many others.
    Blocked {
        /// How many are not done yet.
        by: usize,
    },
    /// Can begin.
    Ready,
    /// A `for_each` step with this many instances not done yet.
    Expanded {
        /// How many are not done yet.
        open: usize,
    },
    /// An attempt is being made.
    Running {
        /// Which one.
        attempt: Attempt,
        /// What it does.
        mode: Mode,
    },
    /// An attempt failed; the next one waits for its time.
    Waiting {
        /// The failed one.
        attempt: Attempt,
        /// When the next one begins.
        until: Millis,
        /// What the next one does.
        mode: Mode,
        /// Why the last one failed.
        error: ActionError,
    },
    /// The process that made this attempt is gone: it may or may not have happened.
    Unknown {
        /// Which one.
        attempt: Attempt,
    },
    /// It may or may not have happened, and only a person can tell.
    InDoubt {
        /// What was seen last.
        error: ActionError,
    },
    /// Done.
    Succeeded {
        /// What other steps can refer to.
        output: Value,
    },
    /// Left out.
    Skipped,
    /// Failed for good.
    Failed {
        /// Why.
        error: ActionError,
    },
}

impl StepState {
    /// The state in one word, for people.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Blocked { .. } => "blocked",
            Self::Ready => "ready",
            Self::Expanded { .. } => "expanded",
            Self::Running { .. } => "running",
            Self::Waiting { .. } => "waiting",
            Self::Unknown { .. } => "unknown",
            Self::InDoubt { .. } => "in doubt",
            Self::Succeeded { .. } => "succeeded",
            Self::Skipped => "skipped",
            Self::Failed { .. } => "failed",
        }
    }
}

/// An entry that cannot follow what is already known. Names both: the journal and the program disagree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IllegalEntry {
    /// The entry speaks of a step that the plan does not have.
    #[error("entry {entry} names the step {step:?}, which the plan does not have")]
    NoSuchStep {
        /// Kind of the entry.
        entry: &'static str,
        /// The name.
        step: String,
    },
    /// The step is in a state from which the entry does not lead on.
    #[error("entry {entry} cannot follow: the step {step:?} is {state}")]
    Step {
        /// Kind of the entry.
        entry: &'static str,
        /// Name of the step.
        step: String,
        /// Its state, in a word.
        state: &'static str,
    },
    /// The run is in a state from which the entry does not lead on.
    #[error("entry {entry} cannot follow: the run is {state}")]
    Run {
        /// Kind of the entry.
        entry: &'static str,
        /// The run's state, in a word.
        state: &'static str,
    },
}

/// Whether the run has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing has been journaled yet.
    New,
    /// Something may be left to do.
    Going,
    /// Ended like this.
    Finished(Outcome),
}

impl Progress {
    fn word(self) -> &'static str {
        match self {
            Self::New => "not created",
            Self::Going => "going on",
            Self::Finished(Outcome::Succeeded) => "succeeded",
            Self::Finished(Outcome::Failed) => "failed",
            Self::Finished(Outcome::InDoubt) => "in doubt",
            Self::Finished(Outcome::Cancelled) => "cancelled",
        }
    }
}

#[derive(Debug, Clone)]
struct Instance {
    name: String,
    /// The step of the plan.
    node: usize,
    /// The key, and the `for_each` step itself.
    of: Option<(StepId, String)>,
    state: StepState,
    /// Number of the latest attempt.
    attempts: u32,
    checkpoint: Value,
}

impl Instance {
    fn new(name: String, node: usize, of: Option<(StepId, String)>, state: StepState) -> Self {
        Self { name, node, of, state, attempts: 0, checkpoint: Value::Null }
    }
}

#[derive(Debug, Clone, Default)]
struct Node {
    dependents: Vec<usize>,
    /// Instances that wait for a free place under `max_parallel`.
    queue: VecDeque<StepId>,
    children: Vec<StepId>,
}

/// Everything that is known of a run: the fold of its entries.
///
/// Applying an entry costs time in proportion to what it unblocks, not to the size of the run.
#[derive(Debug, Clone)]
pub struct RunState {
    progress: Progress,
    /// Whether a person wants it to end.
    cancelling: bool,
    nodes: Vec<Node>,
    max_parallel: Vec<Option<u32>>,
    instances: Vec<Instance>,
    names: HashMap<String, StepId>,
    pub(super) ready: BTreeSet<StepId>,
    pub(super) unknown: BTreeSet<StepId>,
    pub(super) waiting: BTreeSet<(Millis, StepId)>,
    running: usize,
    in_doubt: usize,
    failed: usize,
    /// Steps of the plan that are not done yet.
    open: usize,
    changed: bool,
    outputs: Map<String, Value>,
}

impl RunState {
    /// The state of a run of `plan` before its first entry.
    pub fn new(plan: &Plan) -> Self {
        let mut nodes = vec![Node::default(); plan.steps.len()];
        let mut instances = Vec::with_capacity(plan.steps.len());
        for (index, step) in plan.steps.iter().enumerate() {
            for &need in &step.needs {
                nodes[need].dependents.push(index);
            }
            let state = StepState::Blocked { by: step.needs.len() };
            instances.push(Instance::new(step.name.clone(), index, None, state));
        }
        let names = instances.iter().enumerate().map(|(i, s)| (s.name.clone(), StepId::of(i))).collect();
        Self {
            progress: Progress::New,
            cancelling: false,
            max_parallel: plan.steps.iter().map(|s| s.for_each.as_ref().and_then(|f| f.max_parallel)).collect(),
            open: nodes.len(),
            nodes,
            instances,
            names,
            ready: BTreeSet::new(),
            unknown: BTreeSet::new(),
            waiting: BTreeSet::new(),
            running: 0,
            in_doubt: 0,
            failed: 0,
            changed: false,
            outputs: Map::new(),
        }
    }

    /// Folds what was stored: the history in order, then the latest attempt and checkpoint of each step.
    ///
    /// An attempt kept for a step that has ended or begun anew since is left aside: history knows better.
    pub fn recover(plan: &Plan, history: &[Recorded], latest: &[Recorded]) -> Result<Self, IllegalEntry> {
        let mut state = Self::new(plan);
        // A run that was cancelled ended while attempts had still to follow: they are part of it.
        let (history, cancelled) = match history.split_last() {
            Some((last, before)) if is_cancelled(&last.entry) => (before, Some(last)),
            _ => (history, None),
        };
        for recorded in history {
            state.apply(recorded.at, &recorded.entry)?;
        }
        for recorded in latest {
            match (&recorded.entry, state.outlived(&recorded.entry)) {
                (_, Some((id, number))) => state.instances[id.index()].attempts = number.max(state.attempts(id)),
                // Kept whatever became of the run since.
                (Entry::Checkpointed { step, value }, None) => state.keep_checkpoint(step, value)?,
                (_, None) => state.apply(recorded.at, &recorded.entry)?,
            }
        }
        if let Some(last) = cancelled {
            state.apply(last.at, &last.entry)?;
        }
        Ok(state)
    }

    /// The step of a kept attempt that history has gone past, and the number of that attempt.
    fn outlived(&self, entry: &Entry) -> Option<(StepId, u32)> {
        let Entry::AttemptMoved { step, attempt, .. } = entry else { return None };
        let id = self.find(step)?;
        let past = self.has_ended(id) || *self.state(id) == StepState::Ready || attempt.number < self.attempts(id);
        past.then_some((id, attempt.number))
    }

    /// Takes one entry into account. Total: an entry that cannot follow is an error and changes nothing.
    pub fn apply(&mut self, at: Millis, entry: &Entry) -> Result<(), IllegalEntry> {
        match entry {
            Entry::RunCreated { .. } => self.created(),
            Entry::RunAcquired { .. } => self.acquired(at),
            Entry::RunReopened => self.reopened(),
            Entry::CancelRequested { .. } => self.cancel_requested(),
            Entry::StepExpanded { step, keys } => self.expanded(step, keys),
            Entry::StepStarted { step, attempt } => self.started(at, step, *attempt),
            Entry::AttemptMoved { step, attempt, to } => self.moved(step, *attempt, to),
            Entry::Checkpointed { step, value } => self.checkpointed(step, value),
            Entry::StepSucceeded { step, output, changes, .. } => self.succeeded(step, output, !changes.is_empty()),
            Entry::StepSkipped { step } => self.skipped(step),
            Entry::StepFailed { step, error } => self.failed(step, error),
            Entry::StepInDoubt { step, error } => self.doubted(step, error),
            Entry::RunFinished { outcome, outputs } => self.finished(*outcome, outputs),
        }
    }

    /// Whether the run has ended.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Whether a person wants the run to end: nothing more may begin.
    pub fn is_cancelling(&self) -> bool {
        self.cancelling
    }

    /// Whether any step changed the world.
    pub fn changed(&self) -> bool {
        self.changed
    }

    /// The workflow's outputs, once it has succeeded.
    pub fn outputs(&self) -> &Map<String, Value> {
        &self.outputs
    }

    /// Attempts being made.
    pub fn running(&self) -> usize {
        self.running
    }

    /// Every step and instance known so far.
    pub fn steps(&self) -> impl Iterator<Item = StepId> + use<> {
        (0..self.instances.len()).map(StepId::of)
    }

    /// The steps as people count them: the parts of a `for_each` step in its place, once they are known.
    pub fn counted_steps(&self) -> Vec<StepId> {
        let mut has_parts = vec![false; self.instances.len()];
        self.steps().filter(|&id| self.key(id).is_some()).for_each(|id| has_parts[self.node(id)] = true);
        self.steps().filter(|&id| self.key(id).is_some() || !has_parts[self.node(id)]).collect()
    }

    /// The step of that name, with its key.
    pub fn find(&self, name: &str) -> Option<StepId> {
        self.names.get(name).copied()
    }

    /// Name of a step, with its key.
    pub fn name(&self, id: StepId) -> &str {
        &self.instances[id.index()].name
    }

    /// Where a step stands.
    pub fn state(&self, id: StepId) -> &StepState {
        &self.instances[id.index()].state
    }

    /// Index of a step in the plan.
    pub fn node(&self, id: StepId) -> usize {
        self.instances[id.index()].node
    }

    /// Key of an instance of a `for_each` step.
    pub fn key(&self, id: StepId) -> Option<&str> {
        self.instances[id.index()].of.as_ref().map(|(_, key)| key.as_str())
    }

    /// What the step's attempts stored last; `null` if nothing.
    pub fn checkpoint(&self, id: StepId) -> &Value {
        &self.instances[id.index()].checkpoint
    }

    /// Number of the latest attempt; 0 if the step has not begun.
    pub fn attempts(&self, id: StepId) -> u32 {
        self.instances[id.index()].attempts
    }

    /// Output of a step of the plan, once it is done.
    pub fn output(&self, node: usize) -> Option<&Value> {
        match &self.instances.get(node)?.state {
            StepState::Succeeded { output } => Some(output),
            _ => None,
        }
    }

    /// Whether a step of the plan was left out.
    pub fn is_skipped(&self, node: usize) -> bool {
        matches!(self.instances.get(node).map(|i| &i.state), Some(StepState::Skipped))
    }

    /// How the run ends if nothing can go on, `None` while something can.
    pub(super) fn ending(&self) -> Option<Outcome> {
        if self.cancelling && self.progress == Progress::Going && self.running == 0 && self.open > 0 {
            return Some(Outcome::Cancelled);
        }
        let idle = self.ready.is_empty() && self.unknown.is_empty() && self.waiting.is_empty() && self.running == 0;
        match (self.progress, idle) {
            (Progress::Going, true) if self.open == 0 => Some(Outcome::Succeeded),
            (Progress::Going, true) if self.failed == 0 && self.in_doubt > 0 => Some(Outcome::InDoubt),
            (Progress::Going, true) => Some(Outcome::Failed),
            _ => None,
        }
    }

    pub(super) fn is_for_each(&self, plan: &Plan, id: StepId) -> bool {
        let instance = &self.instances[id.index()];
        instance.of.is_none() && plan.steps[instance.node].for_each.is_some()
    }

    fn has_ended(&self, id: StepId) -> bool {
        match self.state(id) {
            StepState::Succeeded { .. } | StepState::Skipped | StepState::Failed { .. } | StepState::InDoubt { .. } => {
                true
            }
            StepState::Blocked { .. }
            | StepState::Ready
            | StepState::Expanded { .. }
            | StepState::Running { .. }
            | StepState::Waiting { .. }
            | StepState::Unknown { .. } => false,
        }
    }

    fn created(&mut self) -> Result<(), IllegalEntry> {
        if self.progress != Progress::New {
            return Err(IllegalEntry::Run { entry: "run_created", state: self.progress.word() });
        }
        self.progress = Progress::Going;
        for index in 0..self.nodes.len() {
            self.unblock_if_free(StepId::of(index));
        }
        Ok(())
    }

    fn acquired(&mut self, at: Millis) -> Result<(), IllegalEntry> {
        if self.progress == Progress::New {
            return Err(IllegalEntry::Run { entry: "run_acquired", state: self.progress.word() });
        }
        for id in self.steps() {
            match &mut self.instances[id.index()].state {
                StepState::Running { attempt, .. } => {
                    let attempt = Attempt { failures: 0, since: at, ..*attempt };
                    self.set(id, StepState::Unknown { attempt });
                }
                StepState::Waiting { attempt, .. } | StepState::Unknown { attempt } => {
                    *attempt = Attempt { failures: 0, since: at, ..*attempt };
                }
                StepState::Blocked { .. }
                | StepState::Ready
                | StepState::Expanded { .. }
                | StepState::InDoubt { .. }
                | StepState::Succeeded { .. }
                | StepState::Skipped
                | StepState::Failed { .. } => {}
            }
        }
        Ok(())
    }

    fn reopened(&mut self) -> Result<(), IllegalEntry> {
        if !matches!(self.progress, Progress::Finished(Outcome::Failed | Outcome::InDoubt)) {
            return Err(IllegalEntry::Run { entry: "run_reopened", state: self.progress.word() });
        }
        self.progress = Progress::Going;
        for id in self.steps() {
            if matches!(self.state(id), StepState::Failed { .. }) {
                self.set(id, StepState::Ready);
            }
        }
        Ok(())
    }

    fn cancel_requested(&mut self) -> Result<(), IllegalEntry> {
        if self.progress != Progress::Going {
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
        for _ in 0..self.max_parallel[node].map_or(keys.len(), |limit| limit.max(1) as usize) {
            self.next_instance(node);
        }
        if keys.is_empty() {
            self.set(id, StepState::Succeeded { output: Value::Object(Map::new()) });
            self.done(node);
        }
        Ok(())
    }

    fn started(&mut self, at: Millis, step: &str, number: u32) -> Result<(), IllegalEntry> {
        let id = self.expect(step, "step_started", |s| matches!(s, StepState::Ready))?;
        if number <= self.attempts(id) {
            return Err(IllegalEntry::Step { entry: "step_started", step: step.into(), state: "past that attempt" });
        }
        let attempt = Attempt { number, failures: 0, since: at };
        self.instances[id.index()].attempts = number;
        self.set(id, StepState::Running { attempt, mode: Mode::Run });
        Ok(())
    }

    fn moved(&mut self, step: &str, to_attempt: Attempt, to: &Move) -> Result<(), IllegalEntry> {
        let id = self.expect(step, "attempt_moved", |s| match s {
            StepState::Running { attempt, .. }
            | StepState::Waiting { attempt, .. }
            | StepState::Unknown { attempt } => attempt.number <= to_attempt.number,
            StepState::Ready
            | StepState::Blocked { .. }
            | StepState::Expanded { .. }
            | StepState::InDoubt { .. }
            | StepState::Succeeded { .. }
            | StepState::Skipped
            | StepState::Failed { .. } => false,
        })?;
        let attempt = to_attempt;
        self.instances[id.index()].attempts = attempt.number;
        let state = match to {
            Move::Running { mode } => StepState::Running { attempt, mode: *mode },
            Move::Waiting { until, mode, error } => {
                StepState::Waiting { attempt, until: *until, mode: *mode, error: error.clone() }
            }
        };
        self.set(id, state);
        Ok(())
    }

    fn checkpointed(&mut self, step: &str, value: &Value) -> Result<(), IllegalEntry> {
        self.expect(step, "checkpointed", |_| true)?;
        self.keep_checkpoint(step, value)
    }

    fn keep_checkpoint(&mut self, step: &str, value: &Value) -> Result<(), IllegalEntry> {
        let entry = "checkpointed";
        let id = self.find(step).ok_or_else(|| IllegalEntry::NoSuchStep { entry, step: step.into() })?;
        self.instances[id.index()].checkpoint = value.clone();
        Ok(())
    }

    fn succeeded(&mut self, step: &str, output: &Value, changed: bool) -> Result<(), IllegalEntry> {
        // Unknown, too: the attempt that followed a takeover is not part of the history once the step has ended.
        let legal = |s: &StepState| matches!(s, StepState::Running { .. } | StepState::Unknown { .. });
        let id = self.expect(step, "step_succeeded", legal)?;
        self.changed |= changed;
        self.set(id, StepState::Succeeded { output: output.clone() });
        self.ended(id);
        Ok(())
    }

    fn skipped(&mut self, step: &str) -> Result<(), IllegalEntry> {
        let id = self.expect(step, "step_skipped", |s| matches!(s, StepState::Ready))?;
        self.set(id, StepState::Skipped);
        self.ended(id);
        Ok(())
    }

    fn failed(&mut self, step: &str, error: &ActionError) -> Result<(), IllegalEntry> {
        let id = self.expect(step, "step_failed", |s| {
            matches!(
                s,
                StepState::Ready | StepState::Running { .. } | StepState::Unknown { .. } | StepState::Waiting { .. }
            )
        })?;
        self.set(id, StepState::Failed { error: error.clone() });
        self.free_place(id);
        Ok(())
    }

    fn doubted(&mut self, step: &str, error: &ActionError) -> Result<(), IllegalEntry> {
        let id = self.expect(step, "step_in_doubt", |s| {
            matches!(s, StepState::Running { .. } | StepState::Unknown { .. } | StepState::Waiting { .. })
        })?;
        self.set(id, StepState::InDoubt { error: error.clone() });
        self.free_place(id);
        Ok(())
    }

    fn finished(&mut self, outcome: Outcome, outputs: &Map<String, Value>) -> Result<(), IllegalEntry> {
        if self.progress != Progress::Going {
            return Err(IllegalEntry::Run { entry: "run_finished", state: self.progress.word() });
        }
        self.progress = Progress::Finished(outcome);
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
        if self.progress != Progress::Going {
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
        match before {
            StepState::Ready => drop(self.ready.remove(&id)),
            StepState::Unknown { .. } => drop(self.unknown.remove(&id)),
            StepState::Waiting { until, .. } => drop(self.waiting.remove(&(until, id))),
            StepState::Running { .. } => self.running -= 1,
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
            StepState::Waiting { until, .. } => drop(self.waiting.insert((*until, id))),
            StepState::Running { .. } => self.running += 1,
            StepState::InDoubt { .. } => self.in_doubt += 1,
            StepState::Failed { .. } => self.failed += 1,
            StepState::Blocked { .. }
            | StepState::Expanded { .. }
            | StepState::Succeeded { .. }
            | StepState::Skipped => {}
        }
    }

    fn unblock_if_free(&mut self, id: StepId) {
        if matches!(self.state(id), StepState::Blocked { by: 0 }) {
            self.set(id, StepState::Ready);
        }
    }

    /// A step or instance has succeeded or was skipped.
    fn ended(&mut self, id: StepId) {
        match self.instances[id.index()].of.as_ref().map(|(parent, _)| *parent) {
            None => self.done(self.node(id)),
            Some(parent) => self.instance_done(id, parent),
        }
    }

    fn instance_done(&mut self, id: StepId, parent: StepId) {
        self.free_place(id);
        let StepState::Expanded { open } = &mut self.instances[parent.index()].state else { return };
        *open -= 1;
        if *open == 0 {
            let output = self.collected(parent);
            self.set(parent, StepState::Succeeded { output });
            self.done(self.node(parent));
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

    /// An instance no longer runs: the next one of its step may.
    fn free_place(&mut self, id: StepId) {
        if self.instances[id.index()].of.is_some() {
            self.next_instance(self.node(id));
        }
    }

    fn next_instance(&mut self, node: usize) {
        if let Some(child) = self.nodes[node].queue.pop_front() {
            self.set(child, StepState::Ready);
        }
    }

    /// A step of the plan is done: whatever waited for it alone is ready.
    fn done(&mut self, node: usize) {
        self.open -= 1;
        for dependent in self.nodes[node].dependents.clone() {
            if let StepState::Blocked { by } = &mut self.instances[dependent].state {
                *by -= 1;
            }
            self.unblock_if_free(StepId::of(dependent));
        }
    }
}

fn is_cancelled(entry: &Entry) -> bool {
    matches!(entry, Entry::RunFinished { outcome: Outcome::Cancelled, .. })
}
