use std::collections::{BTreeSet, HashMap, VecDeque};

use serde_json::{Map, Value};
use stargate_sdk::ActionError;

use super::{Attempt, AttemptMode, Entry, Outcome, TimedEntry};
use crate::{clock::UnixMillis, plan::Plan};

mod fold;

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
        mode: AttemptMode,
    },
    /// An attempt failed; the next one waits for its time.
    BackingOff {
        /// The failed one.
        attempt: Attempt,
        /// When the next one begins.
        until: UnixMillis,
        /// What the next one does.
        mode: AttemptMode,
        /// Why the last one failed.
        error: ActionError,
    },
    /// The process that made this attempt is gone: it may or may not have happened.
    Unknown {
        /// Which one.
        attempt: Attempt,
    },
    /// It can begin once a person says so.
    AwaitingApproval {
        /// What the person is asked.
        question: String,
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
            Self::BackingOff { .. } => "backing off",
            Self::Unknown { .. } => "unknown",
            Self::AwaitingApproval { .. } => "waiting for approval",
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
    Running,
    /// Ended like this.
    Finished(Outcome),
}

impl Progress {
    fn word(self) -> &'static str {
        match self {
            Self::New => "not created",
            Self::Running => "running",
            Self::Finished(Outcome::Succeeded) => "succeeded",
            Self::Finished(Outcome::Failed) => "failed",
            Self::Finished(Outcome::InDoubt) => "in doubt",
            Self::Finished(Outcome::AwaitingApproval) => "waiting for approval",
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
    /// What attempts that are over have changed, until the step ends.
    changes: Vec<String>,
    /// What the attempt that is being made has changed, as far as it has told.
    told: Vec<String>,
    /// Whether a person has said that it may begin.
    approved: bool,
}

impl Instance {
    fn new(name: String, node: usize, of: Option<(StepId, String)>, state: StepState) -> Self {
        Self {
            name,
            node,
            of,
            state,
            attempts: 0,
            checkpoint: Value::Null,
            changes: Vec::new(),
            told: Vec::new(),
            approved: false,
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Node {
    dependents: Vec<usize>,
    /// Instances that wait for a free place under `max_parallel`.
    queue: VecDeque<StepId>,
    /// Instances that have a place.
    placed: usize,
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
    pub(super) waiting: BTreeSet<(UnixMillis, StepId)>,
    running: usize,
    in_doubt: usize,
    awaiting: usize,
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
            awaiting: 0,
            failed: 0,
            changed: false,
            outputs: Map::new(),
        }
    }

    /// Folds what was stored: the history in order, then the latest attempt and checkpoint of each step.
    ///
    /// An attempt kept for a step that has ended or begun anew since is left aside: history knows better.
    pub fn recover(plan: &Plan, history: &[TimedEntry], latest: &[TimedEntry]) -> Result<Self, IllegalEntry> {
        let mut state = Self::new(plan);
        // A run that was cancelled ended while attempts had still to follow: they are part of it.
        let (history, cancelled) = match history.split_last() {
            Some((last, before)) if is_cancelled(&last.entry) => (before, Some(last)),
            _ => (history, None),
        };
        for recorded in history {
            state.apply(recorded.at, &recorded.entry)?;
        }
        // A checkpoint belongs to an attempt, and so comes after it.
        let (attempts, checkpoints): (Vec<_>, Vec<_>) =
            latest.iter().partition(|recorded| matches!(recorded.entry, Entry::AttemptMoved { .. }));
        for recorded in attempts {
            match state.outlived(&recorded.entry) {
                Some((id, number)) => state.instances[id.index()].attempts = number.max(state.attempts(id)),
                None => state.apply(recorded.at, &recorded.entry)?,
            }
        }
        for recorded in checkpoints {
            match &recorded.entry {
                // Kept whatever became of the run since.
                Entry::Checkpointed { step, value, attempt, changes } => {
                    state.keep_checkpoint(step, value, *attempt, changes)?;
                }
                other => state.apply(recorded.at, other)?,
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
        // Ready or blocked: it failed, and has not begun anew.
        let is_to_begin = matches!(self.state(id), StepState::Ready | StepState::Blocked { .. });
        let past = self.has_ended(id) || is_to_begin || attempt.number < self.attempts(id);
        past.then_some((id, attempt.number))
    }

    /// Whether the run has ended.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Whether a person wants the run to end: nothing more may begin.
    pub fn is_cancelling(&self) -> bool {
        self.cancelling
    }

    /// Whether any attempt changed the world.
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

    /// What the step's attempts that are over have changed in the world, with `more`; what was done twice is told once.
    pub fn changes_with(&self, id: StepId, more: Vec<String>) -> Vec<String> {
        let mut changes = self.instances[id.index()].changes.clone();
        add(&mut changes, more);
        changes
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
        if self.cancelling && self.progress == Progress::Running && self.running == 0 && self.open > 0 {
            return Some(Outcome::Cancelled);
        }
        let idle = self.ready.is_empty() && self.unknown.is_empty() && self.waiting.is_empty() && self.running == 0;
        match (self.progress, idle) {
            (Progress::Running, true) if self.open == 0 => Some(Outcome::Succeeded),
            (Progress::Running, true) if self.failed == 0 && self.in_doubt > 0 => Some(Outcome::InDoubt),
            (Progress::Running, true) if self.failed == 0 && self.awaiting > 0 => Some(Outcome::AwaitingApproval),
            (Progress::Running, true) => Some(Outcome::Failed),
            _ => None,
        }
    }

    /// Whether `id` is to begin only once a person says so, and nobody has said so yet.
    pub(super) fn needs_approval(&self, plan: &Plan, id: StepId) -> bool {
        let instance = &self.instances[id.index()];
        instance.of.is_none() && !instance.approved && plan.steps[instance.node].approval.is_some()
    }

    /// Whether `id` is a step that is run once for every item of a list, and not an instance of it.
    pub(crate) fn is_for_each(&self, plan: &Plan, id: StepId) -> bool {
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
            | StepState::BackingOff { .. }
            | StepState::Unknown { .. }
            | StepState::AwaitingApproval { .. } => false,
        }
    }
}

fn add(changes: &mut Vec<String>, more: Vec<String>) {
    for change in more {
        if !changes.contains(&change) {
            changes.push(change);
        }
    }
}

fn is_cancelled(entry: &Entry) -> bool {
    matches!(entry, Entry::RunFinished { outcome: Outcome::Cancelled, .. })
}
