use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde_json::Value;
use stargate_sdk::{ActionError, Circuits, FailureKind, FindResult, Nature, RunLease};
use tokio_util::sync::CancellationToken;

use super::{
    Ending, Prepared, RunReport,
    binding::RunBinding,
    claim::AcquiredRun,
    message::{AttemptEnded, CheckpointReply, CheckpointRequest, RunReply},
    renewal::LeaseTerm,
    report::{self, GroupReport},
};
use crate::{
    clock::UnixMillis,
    event::EventKind,
    id::{self, Epoch, RunId, Seq},
    journal::{LockEviction, SeenTaker},
    plan::{EvaluateError, EvaluationContext, Outputs},
    run::{
        Attempt, AttemptFailure, AttemptMode, AttemptTransition, Effect, Entry, Outcome, Progress, RunState, Shared,
        StepId, StepState, TimedEntry, after_failure, next,
    },
};

mod external;
mod outbox;

use outbox::Outbox;
pub(super) use outbox::PendingStart;

/// A run that this process owns. Its state includes the entries of the outbox, which are not
/// durable yet.
pub(super) struct LiveRun {
    pub(super) id: RunId,
    /// Plan of the run with its actions.
    pub(super) prepared: Arc<Prepared>,
    pub(super) state: RunState,
    /// External systems and locks of the run.
    pub(super) binding: Arc<RunBinding>,
    pub(super) epoch: Epoch,
    /// Lease under which the run was created or acquired.
    pub(super) term: LeaseTerm,
    /// Lease that the attempts see, and that is renewed.
    pub(super) lease: Arc<RunLease>,
    /// Machines that steps could not reach.
    pub(super) circuits: Arc<Circuits>,
    /// Sequence number after the latest commit, whether or not it is still in progress.
    pub(super) seq: Seq,
    /// Sequence number before the latest commit.
    durable_seq: Seq,
    /// True once the run has been part of a commit.
    pub(super) is_created: bool,
    /// Runs that lose their locks when this one is created.
    pub(super) evictions: Vec<LockEviction>,
    /// Conditions under which this run is created.
    pub(super) seen_takers: Vec<SeenTaker>,
    pub(super) outbox: Outbox,
    /// True if the last commit was refused and the run was rebased on the stored entries.
    pub(super) rebased: bool,
    /// Attempts in progress, each with the token that cancels it.
    pub(super) in_flight: HashMap<StepId, CancellationToken>,
    /// Time of the next scheduled attempt.
    pub(super) wake: Option<UnixMillis>,
    pub(super) reply: Option<RunReply>,
    /// Items of `for_each` steps: by index of the step, then by key.
    items: HashMap<usize, HashMap<String, Value>>,
    /// Error of the workflow's outputs, because of which the run failed.
    output_error: Option<EvaluateError>,
}

impl LiveRun {
    /// Returns a new run, which its first commit creates in the journal.
    pub(super) fn created(
        new: AcquiredRun,
        evictions: Vec<LockEviction>,
        now: UnixMillis,
        lease: Arc<RunLease>,
        reply: RunReply,
    ) -> Self {
        let mut live = Self { evictions, ..Self::new(new, lease, reply) };
        let (workflow, steps) = (live.prepared.workflow.to_string(), live.step_names());
        live.outbox.events.push(EventKind::RunStarted { workflow, steps });
        live.record(now, Entry::RunCreated { plan_digest: live.prepared.text.digest.clone() });
        live.bind(now);
        live
    }

    /// Returns a run that this process has acquired.
    pub(super) fn acquired(acquired: AcquiredRun, now: UnixMillis, lease: Arc<RunLease>, reply: RunReply) -> Self {
        let mut live = Self { is_created: true, ..Self::new(acquired, lease, reply) };
        let done = live.state.counted_steps().into_iter().filter(|&id| live.state.is_done(id));
        let done = done.map(|id| live.state.name(id).to_owned()).collect();
        let workflow = live.prepared.workflow.to_string();
        live.outbox.events.push(EventKind::RunResumed { workflow, steps: live.step_names(), done });
        live.bind(now);
        live
    }

    fn new(acquired: AcquiredRun, lease: Arc<RunLease>, reply: RunReply) -> Self {
        let AcquiredRun { id, prepared, state, binding, epoch, seq, term } = acquired;
        Self {
            id,
            prepared,
            state,
            binding,
            epoch,
            term,
            lease,
            circuits: Arc::default(),
            seq,
            durable_seq: seq,
            is_created: false,
            evictions: Vec::new(),
            seen_takers: Vec::new(),
            outbox: Outbox::default(),
            rebased: false,
            in_flight: HashMap::new(),
            wake: None,
            reply: Some(reply),
            items: HashMap::new(),
            output_error: None,
        }
    }

    /// Records and reports the targets and locks of the run.
    fn bind(&mut self, now: UnixMillis) {
        let binding = Arc::clone(&self.binding);
        self.outbox.events.extend(binding.first_event());
        binding.first_entries().iter().for_each(|entry| self.record(now, entry.clone()));
    }

    /// True if the run has lost a lock in an external system: it starts no attempt any more.
    pub(super) fn has_lost_lock(&self) -> bool {
        self.binding.loss().is_some()
    }

    /// Stores an entry with the next commit, which confirms it to the attempt through `reply`.
    pub(super) fn record_for_attempt(&mut self, now: UnixMillis, entry: Entry, reply: CheckpointReply) {
        if self.state.progress() == Progress::Running {
            self.record(now, entry);
            self.outbox.checkpoint_replies.push(reply);
        }
    }

    fn step_names(&self) -> Vec<String> {
        self.state.counted_steps().into_iter().map(|id| self.state.name(id).to_owned()).collect()
    }

    /// Decides what follows from the state, until nothing does.
    pub(super) fn decide(&mut self, now: UnixMillis, max_parallel: usize, draining: bool) {
        self.rebased = false;
        loop {
            let free = if draining { 0 } else { max_parallel.max(1).saturating_sub(self.state.running()) };
            let (effects, wake) = next(self.prepared.plan(), &self.state, now, free);
            self.wake = wake;
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                if effect.is_possible(&self.state) {
                    self.perform(now, effect);
                }
            }
        }
    }

    /// Returns the entries to commit and the sequence number that they follow, or `None` if there
    /// are none.
    pub(super) fn begin_commit(&mut self) -> Option<(Seq, Arc<[TimedEntry]>)> {
        if self.outbox.is_empty() {
            return None;
        }
        let entries = self.outbox.begin_commit();
        let after = self.seq;
        self.durable_seq = after;
        self.seq = after.plus(entries.iter().filter(|timed| timed.is_in_history()).count());
        Some((after, entries))
    }

    /// Applies the result of an attempt. While draining, an interrupted attempt stays running for
    /// the next owner.
    pub(super) fn attempt_ended(&mut self, now: UnixMillis, ended: AttemptEnded, draining: bool) {
        self.in_flight.remove(&ended.step);
        let current = match self.state.state(ended.step) {
            StepState::Running { attempt, .. } => *attempt,
            _ => return,
        };
        if current.number != ended.attempt {
            return;
        }
        match ended.result {
            Ok(FindResult::Present(output)) => self.succeed(now, ended.step, output, ended.changes, ended.mode),
            Ok(FindResult::Unclear(reason)) => {
                self.mark_in_doubt(now, ended.step, ActionError::unknown(reason).into());
            }
            // Draining comes first: the next owner finishes a run that is both drained and
            // cancelled.
            Ok(FindResult::Absent) if draining => {}
            Err(error) if draining && error.kind != FailureKind::Permanent => {
                self.keep_running(now, ended.step, current, ended.mode, ended.changes);
            }
            Ok(FindResult::Absent) if self.state.is_cancelling() => {
                self.fail(now, ended.step, ActionError::permanent("not executed: the run was cancelled"));
            }
            Err(error) if self.state.is_cancelling() && self.only_reads(ended.step) => {
                self.fail(now, ended.step, error);
            }
            // The attempt was cancelled during a call: regardless of the error, it may have taken
            // effect.
            Err(error) if self.state.is_cancelling() && error.kind != FailureKind::Permanent => {
                self.mark_in_doubt(now, ended.step, AttemptFailure { error, changes: ended.changes });
            }
            Ok(FindResult::Absent) => self.run_after_find(now, ended.step, current),
            Err(error) => self.fail_or_retry(now, ended.step, AttemptFailure { error, changes: ended.changes }),
        }
    }

    /// True if the action of the step changes nothing, so that its effect is never in doubt.
    fn only_reads(&self, step: StepId) -> bool {
        self.prepared.actions[self.state.node(step)].nature() == Nature::Observe
    }

    /// Stores a checkpoint with the next commit, which confirms it through `reply`.
    pub(super) fn checkpoint(&mut self, now: UnixMillis, request: CheckpointRequest, reply: CheckpointReply) {
        let CheckpointRequest { step, attempt, value, changes } = request;
        let step = self.state.name(step).to_owned();
        self.record(now, Entry::Checkpointed { step, value, attempt, changes });
        self.outbox.checkpoint_replies.push(reply);
    }

    /// Returns the outcome of the run, once it has finished.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        match self.state.progress() {
            Progress::Finished(outcome) => Some(outcome),
            Progress::New | Progress::Running => None,
        }
    }

    /// Returns the report of the run.
    pub(super) fn report(&self, ending: Ending) -> RunReport {
        let mut failures = report::failures(&self.state);
        if let Some(error) = &self.output_error {
            failures.push(("outputs".into(), ActionError::permanent(error.to_string())));
        }
        RunReport {
            run: self.id.clone(),
            ending,
            changed: self.state.changed(),
            outputs: self.state.outputs().clone(),
            failures,
            warnings: report::warnings(&self.state),
            questions: report::questions(&self.state),
            groups: self.groups(),
        }
    }

    /// Returns the results of all step instances that have a group, sorted by group.
    fn groups(&self) -> Vec<GroupReport> {
        let mut groups = BTreeMap::new();
        let steps = self.state.steps().take(self.prepared.plan().steps.len());
        for step in steps.filter(|step| self.prepared.compiled.is_grouped(self.state.node(*step))) {
            for (key, group) in self.instance_groups(step) {
                let group = groups.entry(group).or_insert_with_key(|name| GroupReport::new(name));
                group.add(&self.state, step, &key);
            }
        }
        groups.into_values().collect()
    }

    /// Returns key and group of each instance of a `for_each` step. Empty if the list of the step
    /// cannot be evaluated, because what it needs has failed.
    fn instance_groups(&self, step: StepId) -> Vec<(String, String)> {
        let (compiled, node, context) = (&self.prepared.compiled, self.state.node(step), self.evaluation_context());
        let items = match self.items.get(&node) {
            Some(items) => items.iter().map(|(key, item)| (key.clone(), item.clone())).collect(),
            None => compiled.items(node, &context).unwrap_or_default(),
        };
        let in_group = |(key, item): (String, Value)| Some((key, compiled.group(node, &item, &context)?));
        let mut found: Vec<_> = items.into_iter().filter_map(in_group).collect();
        found.sort_unstable();
        found
    }

    fn record(&mut self, at: UnixMillis, entry: Entry) {
        self.state.apply(at, &entry).expect("entries are made from the state that they are applied to");
        self.outbox.push(TimedEntry { at, entry });
    }

    fn record_with_event(&mut self, now: UnixMillis, entry: Entry) {
        if let Entry::StepFailed { step, .. } = &entry {
            self.circuits.step_failed(step);
        }
        self.outbox.events.extend(event_of_failure(&entry));
        self.record(now, entry);
    }

    fn perform(&mut self, now: UnixMillis, effect: Effect) {
        match effect {
            Effect::RequestApproval(step) => self.request_approval(now, step),
            Effect::Expand(step) => self.expand(now, step),
            Effect::ExpandIfEmpty(step) => self.expand_if_empty(now, step),
            Effect::Start(step) => self.start(now, step),
            Effect::Attempt { step, attempt, mode } => self.restart_attempt(now, step, attempt, mode),
            Effect::MarkInDoubt { step, error } => self.mark_in_doubt(now, step, error.into()),
            Effect::StartFinally(outcome) => {
                self.record(now, Entry::FinallyStarted { outcome });
                self.outbox.events.push(EventKind::FinallyStarted { outcome });
            }
            Effect::Finish(outcome) => self.finish(now, outcome),
        }
    }

    fn request_approval(&mut self, now: UnixMillis, step: StepId) {
        let name = self.state.name(step).to_owned();
        match self.condition(step).and_then(|holds| if holds { self.question(step).map(Some) } else { Ok(None) }) {
            Ok(Some(Some(question))) if self.state.approved_question(step) == Some(&question) => {
                self.start_or_expand(now, step);
            }
            Ok(Some(Some(question))) => {
                self.outbox
                    .events
                    .push(EventKind::ApprovalRequested { step: name.clone(), question: question.clone() });
                self.record(now, Entry::ApprovalRequested { step: name, question });
            }
            Ok(Some(None)) => self.start_or_expand(now, step),
            Ok(None) => self.skip(now, name),
            Err(error) => self.fail(now, step, ActionError::permanent(error.to_string())),
        }
    }

    fn start_or_expand(&mut self, now: UnixMillis, step: StepId) {
        if self.state.is_for_each(self.prepared.plan(), step) {
            self.expand(now, step);
        } else {
            self.start(now, step);
        }
    }

    /// Lets a `for_each` step without items succeed although a step that it needs has failed:
    /// nothing of it needs that step. A step with items is stopped.
    fn expand_if_empty(&mut self, now: UnixMillis, step: StepId) {
        let name = self.state.name(step).to_owned();
        let items =
            self.condition(step).and_then(|holds| if holds { self.load_items(step).map(Some) } else { Ok(None) });
        match items {
            Ok(None) => self.skip(now, name),
            Ok(Some(keys)) if keys.is_empty() => self.record(now, Entry::StepExpanded { step: name, keys }),
            Ok(Some(_)) | Err(_) => self.record(now, Entry::StepStopped { step: name }),
        }
    }

    fn expand(&mut self, now: UnixMillis, step: StepId) {
        let name = self.state.name(step).to_owned();
        match self.condition(step).and_then(|holds| if holds { self.load_items(step).map(Some) } else { Ok(None) }) {
            Ok(Some(keys)) => {
                let instances = keys.iter().map(|key| format!("{name}[{key}]")).collect();
                self.record(now, Entry::StepExpanded { step: name.clone(), keys });
                let dropped = self.state.dropped_instances(step);
                self.outbox.events.push(EventKind::StepExpanded { step: name, instances, dropped });
            }
            Ok(None) => self.skip(now, name),
            Err(error) => self.skip_or_fail(now, step, &error),
        }
    }

    /// Skips a step under `finally` that needs an output which does not exist. Any other step
    /// without a value fails.
    fn skip_or_fail(&mut self, now: UnixMillis, step: StepId, error: &EvaluateError) {
        if error.is_absent() && self.prepared.plan().steps[self.state.node(step)].is_finally {
            return self.skip(now, self.state.name(step).to_owned());
        }
        self.fail(now, step, ActionError::permanent(error.to_string()));
    }

    fn start(&mut self, now: UnixMillis, step: StepId) {
        let name = self.state.name(step).to_owned();
        let is_instance = self.state.key(step).is_some(); // its step's condition was evaluated before the expansion
        match if is_instance { Ok(true) } else { self.condition(step) } {
            Ok(true) => {}
            Ok(false) => return self.skip(now, name),
            Err(error) => return self.skip_or_fail(now, step, &error),
        }
        match self.input(step) {
            Ok(input) => {
                let attempt = self.state.attempts(step) + 1;
                let changes = self.state.changes_with(step, Vec::new());
                self.record(now, Entry::StepStarted { step: name, attempt, changes });
                self.start_after_commit(step, attempt, AttemptMode::Run, input);
            }
            Err(error) => self.skip_or_fail(now, step, &error),
        }
    }

    fn restart_attempt(&mut self, now: UnixMillis, step: StepId, attempt: Attempt, mode: AttemptMode) {
        match self.input(step) {
            Ok(input) => {
                self.record_running(now, step, attempt, mode, Vec::new());
                self.start_after_commit(step, attempt.number, mode, input);
            }
            Err(error) => self.fail(now, step, ActionError::permanent(error.to_string())),
        }
    }

    fn record_running(
        &mut self,
        now: UnixMillis,
        step: StepId,
        attempt: Attempt,
        mode: AttemptMode,
        changes: Vec<String>,
    ) {
        let (name, changes) = (self.state.name(step).to_owned(), self.state.changes_with(step, changes));
        let to = AttemptTransition::Running { mode };
        self.record(now, Entry::AttemptChanged { step: name, attempt, to, changes });
    }

    fn start_after_commit(&mut self, step: StepId, attempt: u32, mode: AttemptMode, input: Value) {
        let name = self.state.name(step).to_owned();
        self.outbox.events.push(EventKind::StepStarted { step: name, attempt, find: mode == AttemptMode::Find });
        self.outbox.starts.push(PendingStart { step, attempt, mode, input });
    }

    /// Runs the action after an attempt has found that earlier ones took no effect.
    fn run_after_find(&mut self, now: UnixMillis, step: StepId, current: Attempt) {
        let attempt = Attempt { number: current.number + 1, ..current };
        self.restart_attempt(now, step, attempt, AttemptMode::Run);
    }

    fn succeed(&mut self, now: UnixMillis, step: StepId, output: Value, changes: Vec<String>, mode: AttemptMode) {
        let changes = self.state.changes_with(step, changes);
        let (step, found) = (self.state.name(step).to_owned(), mode == AttemptMode::Find);
        self.outbox.events.push(EventKind::StepSucceeded { step: step.clone(), changes: changes.clone(), found });
        self.record(now, Entry::StepSucceeded { step, output: output.into(), changes, found });
    }

    fn fail_or_retry(&mut self, now: UnixMillis, step: StepId, failure: AttemptFailure) {
        let entry = after_failure(self.prepared.plan(), &self.state, step, failure, now, id::jitter_seed());
        self.record_with_event(now, entry);
    }

    fn fail(&mut self, now: UnixMillis, step: StepId, error: ActionError) {
        let changes = self.state.changes_with(step, Vec::new());
        let step = self.state.name(step).to_owned();
        self.record_with_event(now, Entry::StepFailed { step, error, changes });
    }

    /// Leaves an interrupted attempt running for the next owner, and stores the changes that it has
    /// made.
    fn keep_running(
        &mut self,
        now: UnixMillis,
        step: StepId,
        attempt: Attempt,
        mode: AttemptMode,
        changes: Vec<String>,
    ) {
        if !changes.is_empty() {
            self.record_running(now, step, attempt, mode, changes);
        }
    }

    fn skip(&mut self, now: UnixMillis, step: String) {
        self.outbox.events.push(EventKind::StepSkipped { step: step.clone() });
        self.record(now, Entry::StepSkipped { step });
    }

    fn mark_in_doubt(&mut self, now: UnixMillis, step: StepId, failure: AttemptFailure) {
        let changes = self.state.changes_with(step, failure.changes);
        let step = self.state.name(step).to_owned();
        self.record_with_event(now, Entry::StepInDoubt { step, error: failure.error, changes });
    }

    fn finish(&mut self, now: UnixMillis, outcome: Outcome) {
        let outputs = match outcome {
            Outcome::Succeeded => self.prepared.compiled.outputs(&self.evaluation_context()),
            Outcome::Failed | Outcome::InDoubt | Outcome::AwaitingApproval | Outcome::Cancelled => {
                Ok(Outputs::default())
            }
        };
        let (outcome, outputs) = match outputs {
            Ok(outputs) => (outcome, outputs),
            Err(error) => {
                self.output_error = Some(error);
                (Outcome::Failed, Outputs::default())
            }
        };
        let outputs = Shared::from(outputs);
        self.record(now, Entry::RunFinished { outcome, outputs: outputs.clone() });
        self.outbox.events.push(EventKind::RunFinished { outcome, changed: self.state.changed(), outputs });
    }

    fn evaluation_context(&self) -> RunEvaluationContext<'_> {
        RunEvaluationContext { id: &self.id, state: &self.state }
    }

    fn condition(&self, step: StepId) -> Result<bool, EvaluateError> {
        self.prepared.compiled.when(self.state.node(step), &self.evaluation_context())
    }

    fn question(&self, step: StepId) -> Result<Option<String>, EvaluateError> {
        self.prepared.compiled.approval(self.state.node(step), &self.evaluation_context())
    }

    /// Evaluates the items of a `for_each` step and returns their keys.
    fn load_items(&mut self, step: StepId) -> Result<Vec<String>, EvaluateError> {
        let node = self.state.node(step);
        let items = self.prepared.compiled.items(node, &self.evaluation_context())?;
        let keys = items.iter().map(|(key, _)| key.clone()).collect();
        self.items.insert(node, items.into_iter().collect());
        Ok(keys)
    }

    /// Evaluates the input of a step. After a resume without refresh, the items of its `for_each`
    /// step are evaluated again; they are the same, since no output has changed.
    fn input(&mut self, step: StepId) -> Result<Value, EvaluateError> {
        let node = self.state.node(step);
        if self.state.key(step).is_some() && !self.items.contains_key(&node) {
            self.load_items(step)?;
        }
        let item = self.state.key(step).and_then(|key| self.items.get(&node)?.get(key));
        self.prepared.compiled.input(node, item, &self.evaluation_context())
    }
}

/// Values that expressions of a run can refer to.
struct RunEvaluationContext<'a> {
    id: &'a RunId,
    state: &'a RunState,
}

impl EvaluationContext for RunEvaluationContext<'_> {
    fn output(&self, step: usize) -> Option<&Value> {
        self.state.output(step)
    }

    fn shared_output(&self, step: usize) -> Option<Arc<Value>> {
        self.state.shared_output(step)
    }

    fn skipped(&self, step: usize) -> bool {
        self.state.is_skipped(step)
    }

    fn failed(&self, step: usize) -> bool {
        self.state.has_failed(step)
    }

    fn outcome(&self) -> Option<&str> {
        self.state.outcome_before_finally().map(|outcome| outcome.name().as_str())
    }

    fn run_id(&self) -> &str {
        self.id.as_str()
    }

    fn run_changed(&self) -> bool {
        self.state.changed()
    }
}

/// Returns the event of an entry about a failure, if it is one.
fn event_of_failure(entry: &Entry) -> Option<EventKind> {
    match entry.clone() {
        Entry::StepFailed { step, error, changes } => Some(EventKind::StepFailed { step, error, changes }),
        Entry::StepInDoubt { step, error, changes } => Some(EventKind::StepInDoubt { step, error, changes }),
        Entry::AttemptChanged { step, attempt, to: AttemptTransition::BackingOff { until, error, .. }, .. } => {
            Some(EventKind::StepRetrying { step, attempt: attempt.number, error, until })
        }
        _ => None,
    }
}
