use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use serde_json::{Map, Value};
use stargate_sdk::{ActionError, TargetId};

use self::{
    edges::{Dependent, EdgeKind},
    failure_reach::FailureReach,
    finally::FinallyPhase,
};
use super::{Attempt, AttemptMode, AttemptTransition, Entry, Outcome, RunStatus, Shared, StateName, TimedEntry};
use crate::{
    clock::UnixMillis,
    plan::{FailureGroup, Outputs, Plan, PlannedStep},
};

mod edges;
mod failure_reach;
mod finally;
mod fold;
mod refresh;
mod reset;

/// Index of a step, or of an instance of a `for_each` step, in one [`RunState`]. Valid only there,
/// and never stored.
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

/// State of a step or instance.
#[derive(Debug, Clone, PartialEq)]
pub enum StepState {
    /// Dependencies have not finished, or the instance has no slot yet.
    Blocked {
        /// Number of dependencies that have not finished; 1 for an instance without a slot.
        by: usize,
    },
    /// A step that this one needs has failed: it cannot start before the run is resumed.
    Stopped,
    /// The instance has changed something, and its key is no longer in the list of its step.
    Dropped,
    /// The step can start.
    Ready,
    /// A `for_each` step whose instances are known.
    Expanded {
        /// Number of instances that have not finished.
        open: usize,
    },
    /// An attempt is in progress.
    Running {
        /// Attempt in progress.
        attempt: Attempt,
        /// Purpose of the attempt.
        mode: AttemptMode,
    },
    /// The last attempt failed and the next one is scheduled.
    BackingOff {
        /// Attempt that failed.
        attempt: Attempt,
        /// Time at which the next attempt starts.
        until: UnixMillis,
        /// Purpose of the next attempt.
        mode: AttemptMode,
        /// Error of the failed attempt.
        error: ActionError,
    },
    /// The owner exited during this attempt and recovery has not run yet.
    Unknown {
        /// Attempt with the unknown outcome.
        attempt: Attempt,
    },
    /// The step is ready and needs an approval.
    AwaitingApproval {
        /// Question that the workflow asks.
        question: String,
    },
    /// It is not known whether the step took effect, and the action cannot find out: an operator
    /// must resolve it.
    InDoubt {
        /// Error of the last attempt.
        error: ActionError,
    },
    /// The step finished with an output.
    Succeeded {
        /// Output that other steps can refer to.
        output: Shared<Value>,
    },
    /// The step was not executed because its condition was false.
    Skipped,
    /// The step finished with an error.
    Failed {
        /// Error of the last attempt.
        error: ActionError,
    },
}

impl StepState {
    /// Returns the name that programs and operators see.
    pub fn name(&self) -> StateName {
        StateName::new(match self {
            Self::Blocked { .. } | Self::Stopped => "blocked",
            Self::Dropped => "dropped",
            Self::Ready => "ready",
            Self::Expanded { .. } => "expanded",
            Self::Running { .. } => "running",
            Self::BackingOff { .. } => "backing_off",
            Self::Unknown { .. } => "unknown",
            Self::AwaitingApproval { .. } => "waiting_for_approval",
            Self::InDoubt { .. } => "in_doubt",
            Self::Succeeded { .. } => "succeeded",
            Self::Skipped => "skipped",
            Self::Failed { .. } => "failed",
        })
    }
}

/// Error for an entry that cannot follow the entries before it: the journal and the program
/// disagree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IllegalEntry {
    /// The entry names a step that the plan does not have.
    #[error("entry {entry} names the step {step:?}, which the plan does not have")]
    NoSuchStep {
        /// Kind of the entry.
        entry: &'static str,
        /// Name in the entry.
        step: String,
    },
    /// The step's state does not permit the entry.
    #[error("entry {entry} cannot follow: the step {step:?} is {state}")]
    Step {
        /// Kind of the entry.
        entry: &'static str,
        /// Name of the step.
        step: String,
        /// State of the step.
        state: StateName,
    },
    /// The entry's attempt is not later than the step's attempts so far.
    #[error("entry {entry} cannot follow: the step {step:?} is past attempt {attempt}")]
    Attempt {
        /// Kind of the entry.
        entry: &'static str,
        /// Name of the step.
        step: String,
        /// Number of the attempt in the entry.
        attempt: u32,
    },
    /// The run's state does not permit the entry.
    #[error("entry {entry} cannot follow: the run is {state}")]
    Run {
        /// Kind of the entry.
        entry: &'static str,
        /// State of the run.
        state: StateName,
    },
}

/// Progress of a run, by its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// No entry was applied yet.
    New,
    /// The run has steps left to execute.
    Running,
    /// The run has finished.
    Finished(Outcome),
}

impl Progress {
    /// Returns the status that the journal stores. A run that is new will be running once its first
    /// entry is stored.
    pub fn status(self) -> RunStatus {
        match self {
            Self::New | Self::Running => RunStatus::Running,
            Self::Finished(outcome) => RunStatus::Finished(outcome),
        }
    }

    fn name(self) -> StateName {
        match self {
            Self::New => StateName::new("not_created"),
            Self::Running => StateName::new("running"),
            Self::Finished(outcome) => outcome.name(),
        }
    }
}

/// Answer of an operator to the question of a step.
#[derive(Debug, Clone, PartialEq)]
enum ApprovalDecision {
    /// The question was approved, and is the same until the run is acquired.
    Approved { question: String },
    /// The question was approved before the run was acquired, and may be another one now.
    ApprovedBefore { question: String },
    /// The step was refused since the run was last opened.
    Refused,
}

/// Relation of an instance to the list of its step. A step of the plan is always listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listing {
    /// The list has the key of the instance.
    Listed,
    /// The list does not have the key, or has not been evaluated since the run was acquired.
    Unlisted,
    /// As `Unlisted`, and the instance has changed something, or may have.
    Dropped,
}

/// Progress of a step of the plan, as its dependents know it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum NodeProgress {
    #[default]
    Pending,
    /// The instances are known.
    Expanded,
    /// The step has ended.
    Settled,
}

/// A step of the plan, or an instance of a `for_each` step.
#[derive(Debug, Clone)]
struct StepInstance {
    name: String,
    /// Index of the step in the plan.
    node: usize,
    /// The `for_each` step and the key, of an instance.
    of: Option<(StepId, String)>,
    state: StepState,
    /// Number of the latest attempt; 0 if there was none.
    attempts: u32,
    /// Latest checkpoint; `null` if there is none.
    checkpoint: Value,
    /// Changes of earlier attempts, until the step finishes.
    changes: Vec<String>,
    /// Changes of the running attempt, as of its latest checkpoint.
    unconfirmed_changes: Vec<String>,
    decision: Option<ApprovalDecision>,
    listing: Listing,
    /// Number of the attempt that was interrupted, until the step starts again.
    interrupted: Option<u32>,
    /// State to return to once nothing blocks the step: its result is kept, its last attempt has an
    /// unknown outcome, or the next one is scheduled.
    kept: Option<StepState>,
    /// True if an attempt has changed an external system.
    has_changed: bool,
    /// Number of requests to execute the step again although it has a result.
    resets: u32,
    /// Number of the last attempt before the latest such request.
    reset_after: u32,
}

impl StepInstance {
    fn new(name: String, node: usize, of: Option<(StepId, String)>, state: StepState) -> Self {
        Self {
            name,
            node,
            of,
            state,
            attempts: 0,
            checkpoint: Value::Null,
            changes: Vec::new(),
            unconfirmed_changes: Vec::new(),
            decision: None,
            listing: Listing::Listed,
            interrupted: None,
            kept: None,
            has_changed: false,
            resets: 0,
            reset_after: 0,
        }
    }
}

/// Bookkeeping of one step of the plan.
#[derive(Debug, Clone, Default)]
struct StepNode {
    /// Steps that depend on this one.
    dependents: Vec<Dependent>,
    /// Number of steps that this one depends on, with repetitions. For a step under `finally`, all
    /// other steps count as one.
    predecessors: usize,
    /// Steps of which each instance is needed by the instance of this one with the same key.
    needs_each: Vec<usize>,
    /// True if a result of the step is stale after an interruption.
    is_repeatable: bool,
    /// True for a `for_each` step.
    is_loop: bool,
    /// True for a step under `finally`.
    is_finally: bool,
    max_parallel: Option<u32>,
    max_failures: Option<u32>,
    /// Number of instances that have failed or are in doubt.
    failed: usize,
    /// Groups that contain the step, the innermost first.
    groups: Vec<FailureGroup>,
    /// Reach of the failures that stop the step, if there is one: of dependencies that have failed
    /// or were stopped.
    failed_need: Option<FailureReach>,
    progress: NodeProgress,
    /// Outputs of the instances that have succeeded, by key, if a step can read them earlier than
    /// the output of the step.
    partial_outputs: Option<Value>,
    /// Instances that wait for a slot under `max_parallel`.
    queue: VecDeque<StepId>,
    /// Number of instances that have a slot.
    slots_used: usize,
    /// Instances of a `for_each` step, in the order of its items.
    instances: Vec<StepId>,
    /// Instances before the run was acquired, until the items are evaluated again.
    former_instances: Vec<StepId>,
    /// Number of instances that have not ended.
    unsettled: usize,
}

impl StepNode {
    fn new(plan: &Plan, index: usize, planned: &PlannedStep) -> Self {
        Self {
            groups: plan.failure_groups(index),
            predecessors: planned.needs.len()
                + planned.after.len()
                + planned.needs_each.len()
                + usize::from(planned.is_finally),
            is_finally: planned.is_finally,
            needs_each: planned.needs_each.clone(),
            is_repeatable: planned.is_repeatable(),
            is_loop: planned.for_each.is_some(),
            max_parallel: planned.for_each.as_ref().and_then(|each| each.max_parallel),
            max_failures: planned.for_each.as_ref().and_then(|each| each.max_failures),
            ..Self::default()
        }
    }

    /// Returns the reach of a failure of the step.
    fn failure_reach(&self) -> FailureReach {
        FailureReach::within(&self.groups)
    }

    /// Returns the reach of a failure of a `for_each` step that none of its own instances has
    /// caused, or that `allow_failure` of the step itself does not permit.
    fn outer_reach(&self) -> FailureReach {
        let is_scope = |group: &FailureGroup| matches!(group, FailureGroup::Scope(_));
        FailureReach::within(&self.groups[self.groups.iter().position(is_scope).unwrap_or(self.groups.len())..])
    }

    /// True if `allow_failure` of the step itself permits failures of it and its instances.
    fn permits_failures(&self) -> bool {
        matches!(self.groups.first(), Some(FailureGroup::Step(_)))
    }

    /// True if so many instances have failed that no further one starts.
    fn has_too_many_failures(&self) -> bool {
        self.max_failures.is_some_and(|max| self.failed > max as usize)
    }

    fn add_dependent(&mut self, node: usize, kind: EdgeKind) {
        self.dependents.push(Dependent { node, kind });
        if self.is_loop && kind != EdgeKind::Needs {
            self.partial_outputs = Some(Value::Object(Map::new()));
        }
    }
}

/// State of a run: the fold of its entries.
///
/// Applying an entry takes time in proportion to the steps that it unblocks, not to the size of the
/// run.
#[derive(Debug, Clone)]
pub struct RunState {
    progress: Progress,
    /// True once an operator has requested that the run ends.
    cancelling: bool,
    nodes: Vec<StepNode>,
    /// The steps of the plan at their indexes, then the instances of `for_each` steps.
    instances: Vec<StepInstance>,
    names: HashMap<String, StepId>,
    pub(super) ready: BTreeSet<StepId>,
    pub(super) unknown: BTreeSet<StepId>,
    pub(super) backing_off: BTreeSet<(UnixMillis, StepId)>,
    running: usize,
    in_doubt: usize,
    awaiting_approval: usize,
    /// Number of failed steps whose failure fails the run.
    failed: usize,
    /// Number of steps of the plan that have not finished, or because of which the run fails.
    open: usize,
    /// The same of the steps under `finally`, which `open` does not count.
    open_finally: usize,
    /// The steps under `finally`, once they have started.
    finally: Option<FinallyPhase>,
    changed: bool,
    outputs: Shared<Outputs>,
    targets: BTreeMap<String, TargetId>,
}

impl RunState {
    /// Returns the state of a run of `plan` before its first entry.
    pub fn new(plan: &Plan) -> Self {
        let nodes = plan.steps.iter().enumerate().map(|(index, step)| StepNode::new(plan, index, step));
        let mut nodes: Vec<_> = nodes.collect();
        let mut instances = Vec::with_capacity(plan.steps.len());
        for (index, step) in plan.steps.iter().enumerate() {
            step.needs.iter().for_each(|&need| nodes[need].add_dependent(index, EdgeKind::Needs));
            step.after.iter().for_each(|&before| nodes[before].add_dependent(index, EdgeKind::After));
            step.needs_each.iter().for_each(|&need| nodes[need].add_dependent(index, EdgeKind::NeedsEach));
            let state = StepState::Blocked { by: nodes[index].predecessors };
            instances.push(StepInstance::new(step.name.clone(), index, None, state));
        }
        let names = instances.iter().enumerate().map(|(i, s)| (s.name.clone(), StepId::of(i))).collect();
        Self {
            progress: Progress::New,
            cancelling: false,
            open: nodes.iter().filter(|node| !node.is_finally).count(),
            open_finally: nodes.iter().filter(|node| node.is_finally).count(),
            finally: None,
            nodes,
            instances,
            names,
            ready: BTreeSet::new(),
            unknown: BTreeSet::new(),
            backing_off: BTreeSet::new(),
            running: 0,
            in_doubt: 0,
            awaiting_approval: 0,
            failed: 0,
            changed: false,
            outputs: Shared::default(),
            targets: BTreeMap::new(),
        }
    }

    /// Folds stored entries: the history in order, then the latest attempt and checkpoint of each
    /// step.
    ///
    /// An attempt that was stored before its step finished or started again is superseded by the
    /// history.
    ///
    /// # Errors
    /// [`IllegalEntry`] for the first entry that cannot follow those before it.
    pub fn recover(plan: &Plan, history: &[TimedEntry], latest: &[TimedEntry]) -> Result<Self, IllegalEntry> {
        let mut state = Self::new(plan);
        // A cancelled run finished while attempts were running; their entries must be applied
        // before its last entry.
        let (history, cancelled) = match history.split_last() {
            Some((last, before)) if is_cancelled(&last.entry) => (before, Some(last)),
            _ => (history, None),
        };
        for timed in history {
            state.apply(timed.at, &timed.entry)?;
        }
        state.apply_latest(latest)?;
        state.end_attempts_before_finally();
        if let Some(last) = cancelled {
            state.apply(last.at, &last.entry)?;
        }
        Ok(state)
    }

    /// Applies the latest attempts, then the latest checkpoints, since a checkpoint belongs to an
    /// attempt.
    fn apply_latest(&mut self, latest: &[TimedEntry]) -> Result<(), IllegalEntry> {
        let (attempts, checkpoints): (Vec<_>, Vec<_>) =
            latest.iter().partition(|timed| matches!(timed.entry, Entry::AttemptChanged { .. }));
        for timed in attempts {
            match self.superseded_attempt(&timed.entry) {
                Some((id, number)) => self.attempt_superseded(id, number, &timed.entry),
                None => self.apply(timed.at, &timed.entry)?,
            }
        }
        for timed in checkpoints {
            match &timed.entry {
                // Stored checkpoints are valid for each progress of the run, so they bypass
                // `apply`.
                Entry::Checkpointed { step, value, attempt, changes } => {
                    self.set_checkpoint(step, value, *attempt, changes)?;
                }
                other => self.apply(timed.at, other)?,
            }
        }
        Ok(())
    }

    /// Counts an attempt that the history has superseded. If the attempt was interrupted and the
    /// step has not started again, the history does not have its changes.
    fn attempt_superseded(&mut self, id: StepId, number: u32, entry: &Entry) {
        let instance = &mut self.instances[id.index()];
        instance.attempts = number.max(instance.attempts);
        let Entry::AttemptChanged { attempt, to, changes, .. } = entry else { return };
        if instance.interrupted.is_none_or(|interrupted| number < interrupted) {
            return;
        }
        instance.interrupted = Some(number);
        if instance.kept.is_some() {
            instance.kept = Some(match to.clone() {
                AttemptTransition::Running { .. } => StepState::Unknown { attempt: *attempt },
                AttemptTransition::BackingOff { until, mode, error } => {
                    StepState::BackingOff { attempt: *attempt, until, mode, error }
                }
            });
        }
        self.add_changes(id, changes.clone());
    }

    /// Returns the step and number of a stored attempt that the history has superseded.
    fn superseded_attempt(&self, entry: &Entry) -> Option<(StepId, u32)> {
        let Entry::AttemptChanged { step, attempt, .. } = entry else { return None };
        let id = self.find(step)?;
        // The step failed or was interrupted, and has not started again.
        let was_reset = matches!(
            self.state(id),
            StepState::Ready
                | StepState::Blocked { .. }
                | StepState::Stopped
                | StepState::Dropped
                | StepState::AwaitingApproval { .. }
        );
        let is_superseded = self.has_finished(id) || was_reset || attempt.number < self.attempts(id);
        is_superseded.then_some((id, attempt.number))
    }

    /// Returns the progress of the run.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// True if an operator requested that the run ends: no further attempts may start, except of
    /// steps under `finally` that start later.
    pub fn is_cancelling(&self) -> bool {
        self.finally.map_or(self.cancelling, |phase| phase.cancelling)
    }

    /// True if an operator requested that the run ends: it cannot succeed any more.
    pub fn is_cancel_requested(&self) -> bool {
        self.cancelling || self.is_cancelling()
    }

    /// True if an attempt has changed an external system.
    pub fn changed(&self) -> bool {
        self.changed
    }

    /// Returns the workflow's outputs; empty unless the run has succeeded.
    pub fn outputs(&self) -> &Shared<Outputs> {
        &self.outputs
    }

    /// Returns the external systems that the run works on, by name of the target.
    pub fn targets(&self) -> &BTreeMap<String, TargetId> {
        &self.targets
    }

    /// Returns the number of attempts in progress.
    pub fn running(&self) -> usize {
        self.running
    }

    /// Iterates over all steps and the instances known so far.
    pub fn steps(&self) -> impl Iterator<Item = StepId> + use<> {
        (0..self.instances.len()).map(StepId::of)
    }

    /// Returns the steps that are displayed and counted: the instances of a `for_each` step replace
    /// it once they are known.
    pub fn counted_steps(&self) -> Vec<StepId> {
        self.steps().filter(|&id| self.is_counted(id)).collect()
    }

    fn is_counted(&self, id: StepId) -> bool {
        let instance = &self.instances[id.index()];
        match instance.of {
            None => self.nodes[instance.node].instances.is_empty(),
            Some(_) => instance.listing != Listing::Unlisted,
        }
    }

    /// Returns the names of the instances of a `for_each` step that have changed something, or may
    /// have, and are no longer in its list.
    pub fn dropped_instances(&self, step: StepId) -> Vec<String> {
        let is_dropped = |instance: &&StepInstance| {
            instance.listing == Listing::Dropped && instance.of.as_ref().is_some_and(|(parent, _)| *parent == step)
        };
        self.instances.iter().filter(is_dropped).map(|instance| instance.name.clone()).collect()
    }

    /// Returns the step or instance with this name, such as `join[worker-1]`.
    pub fn find(&self, name: &str) -> Option<StepId> {
        self.names.get(name).copied()
    }

    /// Returns the name of a step, with its key.
    pub fn name(&self, id: StepId) -> &str {
        &self.instances[id.index()].name
    }

    /// Returns the state of a step.
    pub fn state(&self, id: StepId) -> &StepState {
        &self.instances[id.index()].state
    }

    /// Returns the index of the step in the plan.
    pub fn node(&self, id: StepId) -> usize {
        self.instances[id.index()].node
    }

    /// Returns the key of an instance of a `for_each` step; `None` for a step of the plan.
    pub fn key(&self, id: StepId) -> Option<&str> {
        self.instances[id.index()].of.as_ref().map(|(_, key)| key.as_str())
    }

    /// True if the step has nothing left to do, or has a result that is kept.
    pub fn is_done(&self, id: StepId) -> bool {
        let is_good = |state: &StepState| matches!(state, StepState::Succeeded { .. } | StepState::Skipped);
        is_good(self.state(id)) || self.instances[id.index()].kept.as_ref().is_some_and(is_good)
    }

    /// Returns the latest checkpoint of the step; `null` if there is none.
    pub fn checkpoint(&self, id: StepId) -> &Value {
        &self.instances[id.index()].checkpoint
    }

    /// Returns the changes of the step's earlier attempts followed by `more`, without repetitions.
    pub fn changes_with(&self, id: StepId, more: Vec<String>) -> Vec<String> {
        let mut changes = self.instances[id.index()].changes.clone();
        add_new(&mut changes, more);
        changes
    }

    /// True if an attempt of the step has changed an external system, in this or an earlier
    /// process.
    pub fn has_changed(&self, id: StepId) -> bool {
        self.instances[id.index()].has_changed
    }

    /// Returns the number of requests to execute the step again although it had a result.
    pub(crate) fn resets(&self, id: StepId) -> u32 {
        self.instances[id.index()].resets
    }

    /// Returns the number of the latest attempt; 0 if the step has not started.
    pub fn attempts(&self, id: StepId) -> u32 {
        self.instances[id.index()].attempts
    }

    /// Returns the output of the step with this index in the plan, once it has succeeded.
    ///
    /// Of a `for_each` step that another step may read earlier, the outputs of the instances that
    /// have succeeded.
    pub fn output(&self, node: usize) -> Option<&Value> {
        match &self.instances.get(node)?.state {
            StepState::Succeeded { output } => Some(output),
            StepState::Skipped => None,
            _ if self.nodes[node].progress == NodeProgress::Pending => None,
            _ => self.nodes[node].partial_outputs.as_ref(),
        }
    }

    /// Returns the output of the step with this index in the plan without a copy, once it has
    /// succeeded.
    pub(crate) fn shared_output(&self, node: usize) -> Option<Arc<Value>> {
        match &self.instances.get(node)?.state {
            StepState::Succeeded { output } => Some(output.to_arc()),
            _ => None,
        }
    }

    /// True if the step with this index in the plan was skipped.
    pub fn is_skipped(&self, node: usize) -> bool {
        matches!(self.instances.get(node).map(|i| &i.state), Some(StepState::Skipped))
    }

    /// True if the step with this index in the plan, or an instance of it, has failed or was
    /// stopped.
    pub fn has_failed(&self, node: usize) -> bool {
        let is_failed = |state: &StepState| matches!(state, StepState::Failed { .. } | StepState::Stopped);
        let mut instances = self.nodes[node].instances.iter();
        is_failed(&self.instances[node].state) || instances.any(|&id| is_failed(self.state(id)))
    }

    /// True if a failure of the step does not fail the run.
    pub fn is_failure_allowed(&self, id: StepId) -> bool {
        self.nodes[self.node(id)].failure_reach() != FailureReach::Run
    }

    /// Returns the outcome if no step can continue.
    pub(super) fn ending(&self) -> Option<Outcome> {
        let open = if self.finally.is_some() { self.open_finally } else { self.open };
        if self.is_cancelling() && self.progress == Progress::Running && self.running == 0 && open > 0 {
            return Some(Outcome::Cancelled);
        }
        match (self.progress, self.is_idle()) {
            (Progress::Running, true) if self.finally.is_some() => self.ending_of_finally(),
            (Progress::Running, true) if self.open == 0 => Some(Outcome::Succeeded),
            (Progress::Running, true) if self.failed == 0 && self.in_doubt > 0 => Some(Outcome::InDoubt),
            (Progress::Running, true) if self.failed == 0 && self.awaiting_approval > 0 => {
                Some(Outcome::AwaitingApproval)
            }
            (Progress::Running, true) => Some(Outcome::Failed),
            _ => None,
        }
    }

    /// True if the step requires an approval that it does not have yet.
    pub(super) fn needs_approval(&self, plan: &Plan, id: StepId) -> bool {
        let instance = &self.instances[id.index()];
        let is_approved = matches!(instance.decision, Some(ApprovalDecision::Approved { .. }));
        instance.of.is_none() && !is_approved && plan.steps[instance.node].approval.is_some()
    }

    /// Returns the question that an operator has approved.
    pub(crate) fn approved_question(&self, id: StepId) -> Option<&str> {
        match &self.instances[id.index()].decision {
            Some(ApprovalDecision::Approved { question } | ApprovalDecision::ApprovedBefore { question }) => {
                Some(question)
            }
            Some(ApprovalDecision::Refused) | None => None,
        }
    }

    /// True if `id` is a `for_each` step of which a dependency failed: it cannot have instances.
    pub(super) fn is_stopping_loop(&self, id: StepId) -> bool {
        let instance = &self.instances[id.index()];
        instance.of.is_none() && self.nodes[instance.node].failed_need.is_some()
    }

    /// True if `id` is a `for_each` step itself and not an instance of one.
    pub(crate) fn is_for_each(&self, plan: &Plan, id: StepId) -> bool {
        let instance = &self.instances[id.index()];
        instance.of.is_none() && plan.steps[instance.node].for_each.is_some()
    }

    fn has_finished(&self, id: StepId) -> bool {
        match self.state(id) {
            StepState::Succeeded { .. } | StepState::Skipped | StepState::Failed { .. } | StepState::InDoubt { .. } => {
                true
            }
            StepState::Blocked { .. }
            | StepState::Stopped
            | StepState::Dropped
            | StepState::Ready
            | StepState::Expanded { .. }
            | StepState::Running { .. }
            | StepState::BackingOff { .. }
            | StepState::Unknown { .. }
            | StepState::AwaitingApproval { .. } => false,
        }
    }
}

fn add_new(changes: &mut Vec<String>, more: Vec<String>) {
    for change in more {
        if !changes.contains(&change) {
            changes.push(change);
        }
    }
}

fn is_cancelled(entry: &Entry) -> bool {
    matches!(entry, Entry::RunFinished { outcome: Outcome::Cancelled, .. })
}
