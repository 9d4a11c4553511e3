use std::{collections::HashMap, sync::Arc};

use serde_json::{Map, Value};
use stargate_sdk::{ActionError, FailureKind, FindResult};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{
    Ending, Finished, Prepared, Question,
    message::{Ended, Reply, Saved},
};
use crate::{
    clock::UnixMillis,
    event::EventKind,
    id::{self, RunId},
    journal::LockEviction,
    plan::{EvaluateError, EvaluationContext},
    run::{
        Attempt, AttemptMode, AttemptTransition, Effect, Entry, Failed, Outcome, Progress, RunState, StepId, StepState,
        TimedEntry, after_failure, next,
    },
};

mod others;

/// An attempt that is to be made once its start is durable.
pub(super) struct Starting {
    pub(super) step: StepId,
    pub(super) attempt: u32,
    pub(super) mode: AttemptMode,
    pub(super) input: Value,
}

/// A run that this process advances. Its state is ahead of the journal by `records` until they are committed.
pub(super) struct LiveRun {
    pub(super) id: RunId,
    pub(super) prepared: Arc<Prepared>,
    pub(super) state: RunState,
    pub(super) epoch: u64,
    /// Number of the latest committed history entry.
    pub(super) seq: u64,
    pub(super) reply: Option<Reply>,
    /// Attempts being made.
    pub(super) in_flight: HashMap<StepId, CancellationToken>,
    /// When to look again, if nothing else happens.
    pub(super) wake: Option<UnixMillis>,
    /// Whether the journal knows the run yet.
    pub(super) created: bool,
    /// Runs that lose their locks when this one is created.
    pub(super) evictions: Vec<LockEviction>,
    pub(super) records: Vec<TimedEntry>,
    /// What is being committed.
    pub(super) committing: Vec<TimedEntry>,
    /// Whether the last commit was refused and the run goes on from what the journal has.
    pub(super) went_back: bool,
    pub(super) news: Vec<EventKind>,
    pub(super) starting: Vec<Starting>,
    pub(super) stored: Vec<oneshot::Sender<Result<(), ActionError>>>,
    /// Items of expanded steps, by key.
    items: HashMap<usize, HashMap<String, Value>>,
    output_error: Option<EvaluateError>,
}

struct RunFacts<'a> {
    id: &'a RunId,
    state: &'a RunState,
}

impl EvaluationContext for RunFacts<'_> {
    fn output(&self, step: usize) -> Option<&Value> {
        self.state.output(step)
    }

    fn skipped(&self, step: usize) -> bool {
        self.state.is_skipped(step)
    }

    fn run_id(&self) -> &str {
        self.id.as_str()
    }
}

/// Steps that failed or are in doubt, and why.
pub(super) fn failures(state: &RunState) -> Vec<(String, ActionError)> {
    let failure = |id| match state.state(id) {
        StepState::Failed { error } | StepState::InDoubt { error } => Some((state.name(id).to_owned(), error.clone())),
        _ => None,
    };
    state.steps().filter_map(failure).collect()
}

/// Steps of which a person has to say something before they go on.
pub(super) fn asks(state: &RunState) -> Vec<(String, Question)> {
    let ask = |id| {
        let ask = match state.state(id) {
            StepState::AwaitingApproval { question } => Question::Approval(question.clone()),
            StepState::InDoubt { .. } => Question::Doubt,
            _ => return None,
        };
        Some((state.name(id).to_owned(), ask))
    };
    state.steps().filter_map(ask).collect()
}

impl LiveRun {
    /// A run that the journal does not know yet.
    pub(super) fn created(
        id: RunId,
        prepared: Arc<Prepared>,
        evictions: Vec<LockEviction>,
        now: UnixMillis,
        reply: Reply,
    ) -> Self {
        let state = RunState::new(prepared.plan());
        let mut live = Self { evictions, ..Self::new(id, prepared, state, reply) };
        live.news
            .push(EventKind::RunStarted { workflow: live.prepared.workflow.to_string(), steps: live.step_names() });
        live.record(now, Entry::RunCreated { plan: live.prepared.text.digest.to_string() });
        live
    }

    /// A run that this process has taken over under `epoch`.
    pub(super) fn taken_over(
        id: RunId,
        prepared: Arc<Prepared>,
        state: RunState,
        epoch: u64,
        seq: u64,
        reply: Reply,
    ) -> Self {
        let mut live = Self { epoch, seq, created: true, ..Self::new(id, prepared, state, reply) };
        let done = |id: &StepId| matches!(live.state.state(*id), StepState::Succeeded { .. } | StepState::Skipped);
        let done =
            live.state.counted_steps().into_iter().filter(done).map(|id| live.state.name(id).to_owned()).collect();
        let workflow = live.prepared.workflow.to_string();
        live.news.push(EventKind::RunResumed { workflow, steps: live.step_names(), done });
        live
    }

    fn new(id: RunId, prepared: Arc<Prepared>, state: RunState, reply: Reply) -> Self {
        Self {
            id,
            prepared,
            state,
            epoch: 1,
            seq: 0,
            reply: Some(reply),
            in_flight: HashMap::new(),
            wake: None,
            created: false,
            evictions: Vec::new(),
            records: Vec::new(),
            committing: Vec::new(),
            went_back: false,
            news: Vec::new(),
            starting: Vec::new(),
            stored: Vec::new(),
            items: HashMap::new(),
            output_error: None,
        }
    }

    fn step_names(&self) -> Vec<String> {
        self.state.counted_steps().into_iter().map(|id| self.state.name(id).to_owned()).collect()
    }

    /// Decides what follows from the state, until nothing does.
    pub(super) fn decide(&mut self, now: UnixMillis, max_parallel: usize, draining: bool) {
        self.went_back = false;
        loop {
            let free = if draining { 0 } else { max_parallel.max(1).saturating_sub(self.state.running()) };
            let (effects, wake) = next(self.prepared.plan(), &self.state, now, free);
            self.wake = wake;
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                self.perform(now, effect);
            }
        }
    }

    /// Takes in how an attempt ended. While draining, one that was interrupted stays in flight: the next process looks.
    pub(super) fn ended(&mut self, now: UnixMillis, ended: Ended, draining: bool) {
        self.in_flight.remove(&ended.step);
        let current = match self.state.state(ended.step) {
            StepState::Running { attempt, .. } => *attempt,
            _ => return,
        };
        if current.number != ended.attempt {
            return;
        }
        match ended.result {
            Ok(FindResult::Present(output)) => self.succeeded(now, ended.step, output, ended.changes, ended.mode),
            Ok(FindResult::Unclear(why)) => self.doubt(now, ended.step, ActionError::unknown(why).into()),
            // Draining comes first: a cancelled run that is let go of is ended by whoever takes it over.
            Ok(FindResult::Absent) if draining => {}
            Err(error) if draining && error.kind != FailureKind::Permanent => {
                self.interrupted(now, ended.step, current, ended.mode, ended.changes);
            }
            Ok(FindResult::Absent) if self.state.is_cancelling() => {
                self.fail(now, ended.step, ActionError::permanent("not done: the run was cancelled"));
            }
            // It was let go of in the middle, whatever it says.
            Err(error) if self.state.is_cancelling() && error.kind != FailureKind::Permanent => {
                self.doubt(now, ended.step, Failed { error, changes: ended.changes });
            }
            Ok(FindResult::Absent) => self.run_after_all(now, ended.step, current),
            Err(error) => self.failed(now, ended.step, Failed { error, changes: ended.changes }),
        }
    }

    /// Keeps what an attempt has saved for the next one; `stored` is told once it is durable.
    pub(super) fn checkpoint(
        &mut self,
        now: UnixMillis,
        saved: Saved,
        stored: oneshot::Sender<Result<(), ActionError>>,
    ) {
        let Saved { step, attempt, value, changes } = saved;
        let step = self.state.name(step).to_owned();
        self.record(now, Entry::Checkpointed { step, value, attempt, changes });
        self.stored.push(stored);
    }

    /// Whether nothing is left to do.
    pub(super) fn ending(&self) -> Option<Outcome> {
        match self.state.progress() {
            Progress::Finished(outcome) => Some(outcome),
            Progress::New | Progress::Running => None,
        }
    }

    /// What is to be said of the run.
    pub(super) fn report(&self, ending: Ending) -> Finished {
        let mut failures = failures(&self.state);
        if let Some(error) = &self.output_error {
            failures.push(("outputs".into(), ActionError::permanent(error.to_string())));
        }
        let (changed, outputs) = (self.state.changed(), self.state.outputs().clone());
        Finished { run: self.id.clone(), ending, changed, outputs, failures, asks: asks(&self.state) }
    }

    fn record(&mut self, at: UnixMillis, entry: Entry) {
        self.state.apply(at, &entry).expect("entries are made from the state that they are applied to");
        self.records.push(TimedEntry { at, entry });
    }

    fn perform(&mut self, now: UnixMillis, effect: Effect) {
        match effect {
            Effect::Ask(step) => self.ask(now, step),
            Effect::Expand(step) => self.expand(now, step),
            Effect::Start(step) => self.start(now, step),
            Effect::Attempt { step, attempt, mode } => self.begin_again(now, step, attempt, mode),
            Effect::Doubt { step, error } => self.doubt(now, step, error.into()),
            Effect::Finish(outcome) => self.finish(now, outcome),
        }
    }

    fn ask(&mut self, now: UnixMillis, step: StepId) {
        let name = self.state.name(step).to_owned();
        match self.condition(step).and_then(|holds| if holds { self.question(step).map(Some) } else { Ok(None) }) {
            Ok(Some(Some(question))) => {
                self.news.push(EventKind::ApprovalAsked { step: name.clone(), question: question.clone() });
                self.record(now, Entry::ApprovalAsked { step: name, question });
            }
            Ok(Some(None)) if self.state.is_for_each(self.prepared.plan(), step) => self.expand(now, step),
            Ok(Some(None)) => self.start(now, step),
            Ok(None) => self.skip(now, name),
            Err(error) => self.fail(now, step, ActionError::permanent(error.to_string())),
        }
    }

    fn expand(&mut self, now: UnixMillis, step: StepId) {
        let name = self.state.name(step).to_owned();
        match self.condition(step).and_then(|holds| if holds { self.load_items(step).map(Some) } else { Ok(None) }) {
            Ok(Some(keys)) => {
                let instances = keys.iter().map(|key| format!("{name}[{key}]")).collect();
                self.news.push(EventKind::StepExpanded { step: name.clone(), instances });
                self.record(now, Entry::StepExpanded { step: name, keys });
            }
            Ok(None) => self.skip(now, name),
            Err(error) => self.fail(now, step, ActionError::permanent(error.to_string())),
        }
    }

    fn start(&mut self, now: UnixMillis, step: StepId) {
        let name = self.state.name(step).to_owned();
        let is_instance = self.state.key(step).is_some(); // its step's condition was asked before it was expanded
        match if is_instance { Ok(true) } else { self.condition(step) } {
            Ok(true) => {}
            Ok(false) => return self.skip(now, name),
            Err(error) => return self.fail(now, step, ActionError::permanent(error.to_string())),
        }
        match self.input(step) {
            Ok(input) => {
                let attempt = self.state.attempts(step) + 1;
                self.record(now, Entry::StepStarted { step: name, attempt });
                self.dispatch(step, attempt, AttemptMode::Run, input);
            }
            Err(error) => self.fail(now, step, ActionError::permanent(error.to_string())),
        }
    }

    fn begin_again(&mut self, now: UnixMillis, step: StepId, attempt: Attempt, mode: AttemptMode) {
        let name = self.state.name(step).to_owned();
        match self.input(step) {
            Ok(input) => {
                let changes = self.state.changes_with(step, Vec::new());
                self.record(
                    now,
                    Entry::AttemptMoved { step: name, attempt, to: AttemptTransition::Running { mode }, changes },
                );
                self.dispatch(step, attempt.number, mode, input);
            }
            Err(error) => self.fail(now, step, ActionError::permanent(error.to_string())),
        }
    }

    fn dispatch(&mut self, step: StepId, attempt: u32, mode: AttemptMode, input: Value) {
        let name = self.state.name(step).to_owned();
        self.news.push(EventKind::StepStarted { step: name, attempt, find: mode == AttemptMode::Find });
        self.starting.push(Starting { step, attempt, mode, input });
    }

    fn run_after_all(&mut self, now: UnixMillis, step: StepId, current: Attempt) {
        let attempt = Attempt { number: current.number + 1, ..current };
        self.begin_again(now, step, attempt, AttemptMode::Run);
    }

    fn succeeded(&mut self, now: UnixMillis, step: StepId, output: Value, changes: Vec<String>, mode: AttemptMode) {
        let changes = self.state.changes_with(step, changes);
        let (step, found) = (self.state.name(step).to_owned(), mode == AttemptMode::Find);
        self.news.push(EventKind::StepSucceeded { step: step.clone(), changes: changes.clone(), found });
        self.record(now, Entry::StepSucceeded { step, output, changes, found });
    }

    fn failed(&mut self, now: UnixMillis, step: StepId, failed: Failed) {
        let entry = after_failure(self.prepared.plan(), &self.state, step, failed, now, id::jitter_seed());
        self.tell_and_record(now, entry);
    }

    fn fail(&mut self, now: UnixMillis, step: StepId, error: ActionError) {
        let changes = self.state.changes_with(step, Vec::new());
        let step = self.state.name(step).to_owned();
        self.tell_and_record(now, Entry::StepFailed { step, error, changes });
    }

    /// The attempt stays in flight for the next process, which is told what it has changed by now.
    fn interrupted(
        &mut self,
        now: UnixMillis,
        step: StepId,
        attempt: Attempt,
        mode: AttemptMode,
        changes: Vec<String>,
    ) {
        if changes.is_empty() {
            return;
        }
        let (name, changes) = (self.state.name(step).to_owned(), self.state.changes_with(step, changes));
        self.record(now, Entry::AttemptMoved { step: name, attempt, to: AttemptTransition::Running { mode }, changes });
    }

    fn skip(&mut self, now: UnixMillis, step: String) {
        self.news.push(EventKind::StepSkipped { step: step.clone() });
        self.record(now, Entry::StepSkipped { step });
    }

    fn doubt(&mut self, now: UnixMillis, step: StepId, failed: Failed) {
        let changes = self.state.changes_with(step, failed.changes);
        let step = self.state.name(step).to_owned();
        self.tell_and_record(now, Entry::StepInDoubt { step, error: failed.error, changes });
    }

    fn tell_and_record(&mut self, now: UnixMillis, entry: Entry) {
        self.news.extend(news_of_failure(&entry));
        self.record(now, entry);
    }

    fn finish(&mut self, now: UnixMillis, outcome: Outcome) {
        let outputs = match outcome {
            Outcome::Succeeded => self.prepared.compiled.outputs(&self.facts()),
            Outcome::Failed | Outcome::InDoubt | Outcome::AwaitingApproval | Outcome::Cancelled => Ok(Map::new()),
        };
        let (outcome, outputs) = match outputs {
            Ok(outputs) => (outcome, outputs),
            Err(error) => {
                self.output_error = Some(error);
                (Outcome::Failed, Map::new())
            }
        };
        self.record(now, Entry::RunFinished { outcome, outputs: outputs.clone() });
        self.news.push(EventKind::RunFinished { outcome, changed: self.state.changed(), outputs });
    }

    fn facts(&self) -> RunFacts<'_> {
        RunFacts { id: &self.id, state: &self.state }
    }

    fn condition(&self, step: StepId) -> Result<bool, EvaluateError> {
        self.prepared.compiled.when(self.state.node(step), &self.facts())
    }

    fn question(&self, step: StepId) -> Result<Option<String>, EvaluateError> {
        self.prepared.compiled.approval(self.state.node(step), &self.facts())
    }

    fn load_items(&mut self, step: StepId) -> Result<Vec<String>, EvaluateError> {
        let node = self.state.node(step);
        let items = self.prepared.compiled.items(node, &self.facts())?;
        let keys = items.iter().map(|(key, _)| key.clone()).collect();
        self.items.insert(node, items.into_iter().collect());
        Ok(keys)
    }

    /// The step's input. Items are evaluated again after a resume: they follow from outputs that never change.
    fn input(&mut self, step: StepId) -> Result<Value, EvaluateError> {
        let node = self.state.node(step);
        if self.state.key(step).is_some() && !self.items.contains_key(&node) {
            self.load_items(step)?;
        }
        let item = self.state.key(step).and_then(|key| self.items.get(&node)?.get(key));
        self.prepared.compiled.input(node, item, &self.facts())
    }
}

fn news_of_failure(entry: &Entry) -> Option<EventKind> {
    match entry.clone() {
        Entry::StepFailed { step, error, changes } => Some(EventKind::StepFailed { step, error, changes }),
        Entry::StepInDoubt { step, error, changes } => Some(EventKind::StepInDoubt { step, error, changes }),
        Entry::AttemptMoved { step, attempt, to: AttemptTransition::BackingOff { until, error, .. }, .. } => {
            Some(EventKind::StepRetrying { step, attempt: attempt.number, error, until })
        }
        _ => None,
    }
}
