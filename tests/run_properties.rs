//! Properties of the fold and the decision function, over generated plans and histories.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;
use stargate::{
    clock::UnixMillis,
    id::{Epoch, PlanDigest},
    plan::{ForEach, Plan, Scope, Template},
    run::{
        Answer, AttemptFailure, AttemptMode, AttemptTransition, Effect, Entry, Outcome, Progress, RunState, Shared,
        StepId, StepRetry, StepState, StoredIn, TimedEntry, after_failure, next,
    },
};
use stargate_sdk::ActionError;
use support::{expression, plan, step};

/// Event in the life of a run.
#[derive(Debug, Clone, Copy)]
enum RunEvent {
    Succeed,
    Transient,
    Permanent,
    Unknown,
    /// The running attempt stores a checkpoint.
    Checkpoint,
    /// The owner exits and another process acquires the run, to answer for a step.
    Crash,
    /// The owner exits and another process resumes the run.
    Resume,
    /// An operator requests that the run ends.
    Cancel,
    /// An operator requests that a step is executed again.
    Retry,
    /// An operator approves a step, or answers that it took effect.
    Yes,
    /// An operator refuses a step, or answers that it did not take effect.
    No,
}

fn events() -> impl Strategy<Value = Vec<RunEvent>> {
    let event = prop_oneof![
        6 => Just(RunEvent::Succeed),
        2 => Just(RunEvent::Transient),
        1 => Just(RunEvent::Permanent),
        2 => Just(RunEvent::Unknown),
        1 => Just(RunEvent::Checkpoint),
        1 => Just(RunEvent::Crash),
        2 => Just(RunEvent::Resume),
        1 => Just(RunEvent::Cancel),
        1 => Just(RunEvent::Retry),
        3 => Just(RunEvent::Yes),
        1 => Just(RunEvent::No),
    ];
    proptest::collection::vec(event, 1..60)
}

fn plans() -> impl Strategy<Value = Plan> {
    let actions = prop_oneof![
        Just("test.find"),
        Just("test.repeat"),
        Just("test.ask"),
        Just("test.observe"),
        Just("test.ensure")
    ];
    let steps = proptest::collection::vec((actions, any::<u64>(), 0..5_usize), 1..8);
    steps.prop_map(|steps| {
        let is_loop: Vec<_> = steps.iter().map(|&(_, _, kind)| kind < 2).collect();
        let steps = steps.into_iter().enumerate().map(|(i, (action, bits, kind))| {
            let before = |kind: u64| {
                let is_listed = move |j: &usize| bits >> (2 * j) & 3 == kind;
                (0..i).filter(is_listed).collect::<Vec<usize>>()
            };
            let mut step = step(&format!("s{i}"), action, &before(1));
            step.after = before(2);
            if kind < 2 {
                step.needs_each = before(3).into_iter().filter(|&j| is_loop[j]).collect();
            }
            step.allow_failure = (bits >> 24).is_multiple_of(8);
            step.scope = usize::from((bits >> 27).is_multiple_of(4));
            if (bits >> 16).is_multiple_of(8) {
                step.approval = Some(Template::Literal("continue?".into()));
            }
            if kind < 2 {
                step.for_each = Some(ForEach {
                    group: None,
                    items: expression("inputs.items"),
                    variable: "item".into(),
                    key: expression("item"),
                    max_parallel: (bits % 3 != 0).then_some((bits % 3) as u32),
                    max_failures: (bits >> 20 & 1 == 0).then_some((bits >> 21 & 1) as u32),
                });
            }
            step
        });
        let mut plan = plan(steps.collect());
        // A workflow whose failures do not fail the run.
        let inlined = Scope { prefix: "sub/".into(), parent: Some(0), allow_failure: true, ..plan.scopes[0].clone() };
        plan.scopes.push(inlined);
        plan
    })
}

/// Returns plans of which about a third of the steps, the last ones, are under `finally`.
fn plans_with_finally() -> impl Strategy<Value = Plan> {
    plans().prop_map(|mut plan| {
        let first = plan.steps.len() - plan.steps.len() / 3;
        for step in &mut plan.steps[first..] {
            step.is_finally = true;
            step.approval = None;
            for list in [&mut step.needs, &mut step.after, &mut step.needs_each] {
                list.retain(|before| *before >= first);
            }
        }
        plan
    })
}

/// A run that is executed like the engine does it, with all entries that were ever journaled.
#[derive(Clone)]
struct Play<'a> {
    plan: &'a Plan,
    state: RunState,
    now: UnixMillis,
    epoch: Epoch,
    all: Vec<TimedEntry>,
    in_flight: Vec<(StepId, u32)>,
    /// Changes of the running attempts, as of their checkpoints.
    unconfirmed: BTreeMap<StepId, Vec<String>>,
}

impl<'a> Play<'a> {
    fn new(plan: &'a Plan) -> Self {
        let mut new = Self {
            plan,
            state: RunState::new(plan),
            now: UnixMillis(1),
            epoch: Epoch::FIRST,
            all: vec![],
            in_flight: vec![],
            unconfirmed: BTreeMap::new(),
        };
        new.record(Entry::RunCreated { plan_digest: PlanDigest::from("digest") });
        new.decide();
        new
    }

    fn record(&mut self, entry: Entry) {
        self.state.apply(self.now, &entry).unwrap();
        self.all.push(TimedEntry { at: self.now, entry });
    }

    fn decide(&mut self) {
        loop {
            let (effects, _) = next(self.plan, &self.state, self.now, 4 - self.state.running().min(4));
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                if effect.is_possible(&self.state) {
                    self.perform(effect);
                }
            }
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::RequestApproval(id) => {
                let step = self.state.name(id).to_owned();
                self.record(Entry::ApprovalRequested { step, question: "continue?".into() });
            }
            Effect::Expand(id) => {
                let step = self.state.name(id).to_owned();
                self.record(Entry::StepExpanded { step, keys: self.keys() });
            }
            Effect::ExpandIfEmpty(id) => {
                let step = self.state.name(id).to_owned();
                let is_empty = self.keys().is_empty();
                let stopped = Entry::StepStopped { step: step.clone() };
                self.record(if is_empty { Entry::StepExpanded { step, keys: vec![] } } else { stopped });
            }
            Effect::Start(id) => {
                let (step, attempt) = (self.state.name(id).to_owned(), self.state.attempts(id) + 1);
                let changes = self.state.changes_with(id, vec![]);
                self.record(Entry::StepStarted { step, attempt, changes });
                self.in_flight.push((id, attempt));
            }
            Effect::Attempt { step: id, attempt, mode } => {
                let step = self.state.name(id).to_owned();
                let changes = self.state.changes_with(id, vec![]);
                self.record(Entry::AttemptChanged { step, attempt, to: AttemptTransition::Running { mode }, changes });
                self.in_flight.push((id, attempt.number));
            }
            Effect::MarkInDoubt { step, error } => {
                let (id, changes) = (step, self.state.changes_with(step, vec![]));
                let step = self.state.name(id).to_owned();
                self.record(Entry::StepInDoubt { step, error, changes });
            }
            Effect::StartFinally(outcome) => self.record(Entry::FinallyStarted { outcome }),
            Effect::Finish(outcome) => self.record(Entry::RunFinished { outcome, outputs: Shared::default() }),
        }
    }

    /// Returns the keys of a loop, which change with the time.
    fn keys(&self) -> Vec<String> {
        let lists: [&[&str]; 4] = [&["x", "y", "z"], &["z", "x"], &["y", "w", "x"], &[]];
        lists[usize::try_from(self.now.0 / 10 % 4).unwrap()].iter().map(|&key| key.to_owned()).collect()
    }

    fn experience(&mut self, event: RunEvent) {
        self.now = UnixMillis(self.now.0 + 10);
        match event {
            RunEvent::Crash => self.crash(false),
            RunEvent::Resume => self.crash(true),
            RunEvent::Cancel => self.cancel(),
            RunEvent::Retry => self.retry(),
            RunEvent::Yes => self.answer(Answer::Approved, Answer::Done { output: json!({}) }),
            RunEvent::No => self.answer(Answer::Refused { error: ActionError::permanent("no") }, Answer::NotDone),
            RunEvent::Checkpoint => self.checkpoint(),
            RunEvent::Succeed => self.end(|play, id| {
                let step = play.state.name(id).to_owned();
                let changes = play.state.changes_with(id, play.changes_so_far(id));
                Entry::StepSucceeded { step, output: json!({}).into(), changes, found: false }
            }),
            RunEvent::Transient => self.end(|play, id| play.failure(id, ActionError::transient("busy"))),
            RunEvent::Permanent => self.end(|play, id| play.failure(id, ActionError::permanent("no"))),
            RunEvent::Unknown => self.end(|play, id| play.failure(id, ActionError::unknown("lost"))),
        }
        self.decide();
    }

    fn checkpoint(&mut self) {
        if let Some(&(id, attempt)) = self.in_flight.last() {
            let step = self.state.name(id).to_owned();
            self.unconfirmed.entry(id).or_default().push(format!("{step} changed at {}", self.now.0));
            let changes = self.changes_so_far(id);
            self.record(Entry::Checkpointed { step, value: json!(self.now), attempt, changes });
        }
    }

    fn changes_so_far(&self, id: StepId) -> Vec<String> {
        self.unconfirmed.get(&id).cloned().unwrap_or_default()
    }

    /// Returns the entry after a failed attempt; every second one has made a change.
    fn failure(&self, id: StepId, error: ActionError) -> Entry {
        let change = format!("{} at {}", self.state.name(id), self.now.0);
        let mut changes = self.changes_so_far(id);
        changes.extend((self.now.0 / 10 % 2 == 0).then_some(change));
        after_failure(self.plan, &self.state, id, AttemptFailure { error, changes }, self.now, 1)
    }

    fn end(&mut self, entry: impl FnOnce(&Self, StepId) -> Entry) {
        if let Some((id, number)) = self.in_flight.pop() {
            let StepState::Running { attempt, .. } = self.state.state(id) else { panic!("in flight but not running") };
            assert_eq!(attempt.number, number, "the result belongs to the running attempt");
            let entry = entry(self, id);
            self.record(entry);
            self.unconfirmed.remove(&id);
        }
    }

    /// Resets a step, which changes with the time, with all that depends on it.
    fn retry(&mut self) {
        let is_cancelled = self.state.progress() == Progress::Finished(Outcome::Cancelled);
        if is_cancelled || self.state.is_cancel_requested() {
            return;
        }
        let step = &self.plan.steps[usize::try_from(self.now.0 / 10).unwrap() % self.plan.steps.len()];
        let Ok(retry) = StepRetry::of(self.plan, &self.state, &step.name) else { return };
        self.in_flight.clear();
        self.unconfirmed.clear();
        self.epoch = self.epoch.next();
        self.record(Entry::RunAcquired { epoch: self.epoch, owner: "next".into(), refresh: true });
        self.record(retry.into_entry());
    }

    fn cancel(&mut self) {
        if self.state.progress() == Progress::Running {
            self.record(Entry::CancelRequested { by: "another process".into() });
        }
    }

    /// Answers for the first step that needs it: as an external entry, or after acquiring a run
    /// that has finished for that.
    fn answer(&mut self, approval: Answer, resolution: Answer) {
        let needs_answer = |id: &StepId| {
            matches!(self.state.state(*id), StepState::AwaitingApproval { .. } | StepState::InDoubt { .. })
        };
        let Some(id) = self.state.steps().find(needs_answer) else { return };
        let is_final = matches!(self.state.progress(), Progress::Finished(outcome) if outcome.is_final());
        if is_final {
            return;
        }
        if self.state.progress() != Progress::Running {
            self.crash(false);
        }
        let approves = matches!(self.state.state(id), StepState::AwaitingApproval { .. });
        let step = self.state.name(id).to_owned();
        let answer = if approves { approval } else { resolution };
        self.record(Entry::StepAnswered { step, by: "another process".into(), answer });
    }

    fn crash(&mut self, refresh: bool) {
        if matches!(self.state.progress(), Progress::Finished(outcome) if outcome.is_final()) {
            return;
        }
        self.in_flight.clear();
        self.unconfirmed.clear();
        self.epoch = self.epoch.next();
        let reopened = matches!(self.state.progress(), Progress::Finished(_));
        self.record(Entry::RunAcquired { epoch: self.epoch, owner: "next".into(), refresh });
        if reopened {
            self.record(Entry::RunReopened);
        }
    }
}

/// Returns the entries that the journal keeps: the history in order, and the latest attempt and
/// checkpoint of each step.
fn kept(all: &[TimedEntry]) -> (Vec<TimedEntry>, Vec<TimedEntry>) {
    let mut latest = BTreeMap::new();
    let mut history = vec![];
    for timed in all {
        match timed.entry.stored_in() {
            StoredIn::History => history.push(timed.clone()),
            StoredIn::Attempt(step) => drop(latest.insert((step.to_owned(), 0), timed.clone())),
            StoredIn::Checkpoint(step) => drop(latest.insert((step.to_owned(), 1), timed.clone())),
        }
    }
    (history, latest.into_values().collect())
}

/// Returns the changes in the entries.
fn changes_in<'a>(entries: impl Iterator<Item = &'a TimedEntry>) -> BTreeSet<&'a str> {
    let changes = entries.filter_map(|timed| match &timed.entry {
        Entry::Checkpointed { changes, .. }
        | Entry::StepStarted { changes, .. }
        | Entry::AttemptChanged { changes, .. }
        | Entry::StepSucceeded { changes, .. }
        | Entry::StepFailed { changes, .. }
        | Entry::StepInDoubt { changes, .. } => Some(changes),
        _ => None,
    });
    changes.flatten().map(String::as_str).collect()
}

fn step_states(state: &RunState) -> Vec<(String, StepState, serde_json::Value, BTreeSet<String>)> {
    let changes = |id| state.changes_with(id, vec![]).into_iter().collect();
    let words = |id| (state.name(id).to_owned(), state.state(id).clone(), state.checkpoint(id).clone(), changes(id));
    state.steps().map(words).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn after_each_entry_the_recovered_state_continues_like_the_live_one(plan in plans_with_finally(), events in events()) {
        let mut play = Play::new(&plan);
        for event in events {
            play.experience(event);
        }
        for end in 1..=play.all.len() {
            let prefix = &play.all[..end];
            let mut live = RunState::new(&plan);
            for timed in prefix {
                live.apply(timed.at, &timed.entry).unwrap();
            }
            let (history, latest) = kept(prefix);
            let mut recovered = RunState::recover(&plan, &history, &latest).unwrap();
            if live.progress() == Progress::Running {
                let acquired = Entry::RunAcquired { epoch: Epoch(99), owner: "last".into(), refresh: end % 2 == 0 };
                live.apply(UnixMillis(9_999), &acquired).unwrap();
                recovered.apply(UnixMillis(9_999), &acquired).unwrap();
            }
            prop_assert_eq!(live.progress(), recovered.progress());
            prop_assert_eq!(live.changed(), recovered.changed());
            prop_assert_eq!(changes_in(prefix.iter()), changes_in(history.iter().chain(&latest)), "a change is lost");
            // A cancelled run is not resumed, so it does not matter whether its attempts are
            // running or unknown.
            if live.progress() != Progress::Finished(Outcome::Cancelled) {
                prop_assert_eq!(step_states(&live), step_states(&recovered));
            }
            prop_assert_eq!(next(&plan, &live, UnixMillis(9_999), 4), next(&plan, &recovered, UnixMillis(9_999), 4));
        }
    }

    #[test]
    fn after_a_cancel_request_no_attempt_starts_and_the_run_finishes_with_its_last_attempt(
        plan in plans(), before in events(), after in events(),
    ) {
        let mut play = Play::new(&plan);
        prop_assume!(play.state.progress() == Progress::Running);
        for event in before {
            // The request must come while the run is running.
            let mut ahead = play.clone();
            ahead.experience(event);
            if ahead.state.progress() != Progress::Running || ahead.state.is_cancelling() {
                break;
            }
            play = ahead;
        }
        play.experience(RunEvent::Cancel);
        let cancelled = play.all.len();
        for event in after.into_iter().filter(|event| !matches!(event, RunEvent::Cancel)) {
            play.experience(event);
        }
        while !play.in_flight.is_empty() {
            play.experience(RunEvent::Transient);
        }
        let ending = play.state.progress();
        prop_assert!(matches!(ending, Progress::Finished(Outcome::Cancelled | Outcome::Succeeded)), "{:?}", ending);
        let starts = |entry: &Entry| match entry {
            Entry::StepStarted { .. } | Entry::StepExpanded { .. } => true,
            Entry::AttemptChanged { to, .. } => matches!(to, AttemptTransition::Running { .. }),
            _ => false,
        };
        prop_assert!(!play.all[cancelled..].iter().any(|timed| starts(&timed.entry)));
    }

    #[test]
    fn without_failures_each_run_succeeds_with_each_step_after_its_dependencies(plan in plans_with_finally()) {
        let mut play = Play::new(&plan);
        while play.state.progress() != Progress::Finished(Outcome::Succeeded) {
            let asked = play.state.progress() == Progress::Finished(Outcome::AwaitingApproval);
            prop_assert!(asked || !play.in_flight.is_empty(), "a running run has a running attempt");
            play.experience(if asked { RunEvent::Yes } else { RunEvent::Succeed });
        }
        prop_assert_eq!(play.state.progress(), Progress::Finished(Outcome::Succeeded));
        let position = |matches: &dyn Fn(&Entry) -> bool| play.all.iter().position(|r| matches(&r.entry));
        for step in &plan.steps {
            let started = |e: &Entry| match e {
                Entry::StepStarted { step: s, .. }
                | Entry::StepExpanded { step: s, .. }
                | Entry::ApprovalRequested { step: s, .. } => *s == step.name,
                _ => false,
            };
            let started = position(&started).unwrap();
            for &need in step.needs.iter().chain(&step.after) {
                let name = &plan.steps[need].name;
                let last = play.all.iter().rposition(|r| matches!(&r.entry, Entry::StepSucceeded { step: s, .. }
                    if s == name || s.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('['))));
                prop_assert!(last.is_none_or(|last| last < started), "only a loop without items has no entry");
            }
        }
    }

    #[test]
    fn no_step_starts_before_its_approval_and_no_more_instances_run_than_max_parallel(plan in plans(), events in events()) {
        let mut play = Play::new(&plan);
        for event in events {
            play.experience(event);
            for (node, step) in plan.steps.iter().enumerate() {
                let limit = step.for_each.as_ref().and_then(|each| each.max_parallel).unwrap_or(u32::MAX) as usize;
                let is_running = |id: &StepId| play.state.node(*id) == node && play.state.key(*id).is_some()
                    && matches!(play.state.state(*id), StepState::Running { .. } | StepState::BackingOff { .. });
                prop_assert!(play.state.steps().filter(is_running).count() <= limit, "{}", step.name);
            }
        }
        for step in plan.steps.iter().filter(|step| step.approval.is_some()) {
            let position = |matches: &dyn Fn(&Entry) -> bool| play.all.iter().position(|r| matches(&r.entry));
            let started = position(&|e| matches!(e,
                Entry::StepStarted { step: s, .. } if *s == step.name)
                || matches!(e, Entry::StepExpanded { step: s, keys } if *s == step.name && !keys.is_empty()));
            let approved = position(&|e| matches!(e,
                Entry::StepAnswered { step: s, answer: Answer::Approved, .. } if *s == step.name));
            if let Some(started) = started {
                prop_assert!(approved.is_some_and(|approved| approved < started), "{} started without approval", step.name);
            }
        }
    }

    #[test]
    fn a_failure_that_is_allowed_stops_only_what_is_in_its_group(plan in plans(), events in events()) {
        let mut play = Play::new(&plan);
        for event in events {
            play.experience(event);
            if play.state.progress() == Progress::Finished(Outcome::Succeeded) {
                for id in play.state.steps().filter(|id| play.state.key(*id).is_none()) {
                    let is_allowed = match play.state.state(id) {
                        StepState::Failed { .. } | StepState::Stopped | StepState::Expanded { .. } => {
                            let stops = |node: usize| !plan.failure_groups(node).is_empty();
                            stops(play.state.node(id))
                        }
                        StepState::Succeeded { .. } | StepState::Skipped => true,
                        _ => false,
                    };
                    prop_assert!(is_allowed, "{} is {}", play.state.name(id), play.state.state(id).name());
                }
            }
        }
        for id in play.state.steps().filter(|id| play.state.key(*id).is_none()) {
            let node = play.state.node(id);
            // A result that is kept stays if a step before it is read again and fails.
            if matches!(play.state.state(id), StepState::Running { .. }) {
                let is_near = |need: &&usize| plan.failure_groups(**need) == plan.failure_groups(node);
                let is_plain = |need: &&usize| !plan.steps[**need].allow_failure && plan.steps[node].for_each.is_none();
                for &need in plan.steps[node].needs.iter().filter(is_near).filter(is_plain) {
                    let state = play.state.state(play.state.steps().nth(need).unwrap());
                    let is_bad = matches!(state, StepState::Failed { .. } | StepState::Stopped);
                    prop_assert!(!is_bad, "{} needs {}", play.state.name(id), plan.steps[need].name);
                }
            }
        }
    }

    #[test]
    fn steps_under_finally_run_once_at_each_end_of_a_run_and_after_all_others(
        plan in plans_with_finally(), events in events(),
    ) {
        prop_assume!(plan.steps.iter().any(|step| step.is_finally));
        let mut play = Play::new(&plan);
        for event in events {
            play.experience(event);
        }
        let is_finally = |name: &str| {
            let node = play.state.node(play.state.find(name).unwrap());
            plan.steps[node].is_finally
        };
        let (mut has_started, mut done, mut is_cancelled_in_it) = (None, BTreeSet::new(), false);
        for timed in &play.all {
            match &timed.entry {
                Entry::FinallyStarted { outcome } => {
                    prop_assert_eq!(has_started, None);
                    has_started = Some(*outcome);
                    done.clear();
                    is_cancelled_in_it = false;
                }
                Entry::CancelRequested { .. } => is_cancelled_in_it = has_started.is_some(),
                Entry::StepStarted { step, .. } | Entry::StepExpanded { step, .. } => {
                    prop_assert_eq!(is_finally(step), has_started.is_some(), "{}", step);
                    prop_assert!(!done.contains(step), "{} ran twice", step);
                }
                Entry::StepSucceeded { step, .. } if is_finally(step) => drop(done.insert(step.clone())),
                Entry::RunFinished { outcome, .. } => {
                    let is_end = !matches!(outcome, Outcome::InDoubt | Outcome::AwaitingApproval);
                    prop_assert!(!is_end || has_started.is_some(), "the run ends without finally");
                    if let Some(before) = has_started.filter(|before| *before != Outcome::Succeeded && !is_cancelled_in_it) {
                        prop_assert_eq!(before, *outcome, "another outcome hides the first one");
                    }
                }
                Entry::RunReopened if has_started != Some(Outcome::Succeeded) => has_started = None,
                Entry::StepsReset { .. } => has_started = None,
                _ => {}
            }
        }
    }

    #[test]
    fn a_step_that_is_reset_is_executed_again_with_all_that_depends_on_it(plan in plans_with_finally(), events in events()) {
        let mut play = Play::new(&plan);
        for event in events {
            play.experience(event);
        }
        for step in plan.steps.iter().filter(|step| step.for_each.is_none()) {
            let mut must_run = false;
            for timed in &play.all {
                match &timed.entry {
                    Entry::StepsReset { steps } => {
                        let needs = step.needs.iter().chain(&step.after).chain(&step.needs_each);
                        let needed_runs = { needs }.any(|&need| steps.contains_key(&plan.steps[need].name));
                        must_run = steps.contains_key(&step.name);
                        prop_assert!(must_run || !needed_runs || step.is_finally, "{} depends on a reset step", step.name);
                    }
                    Entry::StepStarted { step: name, .. } | Entry::StepSkipped { step: name } if *name == step.name => {
                        must_run = false;
                    }
                    Entry::StepFailed { step: name, .. } if *name == step.name => must_run = false,
                    Entry::RunFinished { outcome: Outcome::Succeeded, .. } => {
                        let is_in_group = !plan.failure_groups(plan.steps.iter().position(|s| s.name == step.name).unwrap()).is_empty();
                        prop_assert!(!must_run || is_in_group, "{} was not executed again", step.name);
                    }
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn no_instance_starts_once_too_many_have_failed(plan in plans(), events in events()) {
        let mut play = Play::new(&plan);
        for event in events {
            play.experience(event);
            for (node, step) in plan.steps.iter().enumerate() {
                let Some(max) = step.for_each.as_ref().and_then(|each| each.max_failures) else { continue };
                let instances: Vec<_> = play.state.steps()
                    .filter(|id| play.state.node(*id) == node && play.state.key(*id).is_some()).collect();
                let count = |is: fn(&StepState) -> bool| instances.iter().filter(|id| is(play.state.state(**id))).count();
                let failed = count(|state| matches!(state, StepState::Failed { .. } | StepState::InDoubt { .. }));
                let ready = count(|state| matches!(state, StepState::Ready));
                prop_assert!(failed <= max as usize || ready == 0, "{}: {failed} failed, {ready} ready", step.name);
            }
        }
    }

    #[test]
    fn an_action_that_must_not_be_repeated_never_runs_again_after_an_unknown_outcome(plan in plans_with_finally(), events in events()) {
        let mut play = Play::new(&plan);
        for event in events {
            play.experience(event);
        }
        for id in play.state.steps() {
            let asks = plan.steps[play.state.node(id)].action == "test.ask";
            let name = play.state.name(id);
            let mut unknown = false;
            for timed in play.all.iter().filter(|_| asks) {
                match &timed.entry {
                    Entry::StepAnswered { step, .. } if step == name => unknown = false,
                    Entry::RunAcquired { .. } => unknown |= is_running_at(&play.all, timed, name),
                    Entry::AttemptChanged { step, to: AttemptTransition::Running { mode: AttemptMode::Run }, .. } if step == name => {
                        prop_assert!(!unknown, "{} was run again", name);
                    }
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn a_result_that_is_kept_is_never_obtained_again_and_a_stale_one_always(plan in plans(), events in events()) {
        let mut play = Play::new(&plan);
        for event in events {
            play.experience(event);
        }
        for id in play.state.steps() {
            let (planned, name) = (&plan.steps[play.state.node(id)], play.state.name(id));
            let (mut has_succeeded, mut is_stale) = (false, false);
            for timed in &play.all {
                match &timed.entry {
                    Entry::RunAcquired { refresh: true, .. } => is_stale = has_succeeded,
                    Entry::StepsReset { steps } if steps.contains_key(name) => has_succeeded = false,
                    Entry::StepStarted { step, .. } if step == name => {
                        prop_assert!(!has_succeeded || planned.is_repeatable(), "{} ran twice", name);
                        is_stale = false;
                    }
                    Entry::StepSucceeded { step, .. } if step == name => has_succeeded = true,
                    Entry::RunFinished { outcome: Outcome::Succeeded, .. } => {
                        let is_current = !matches!(play.state.state(id), StepState::Dropped | StepState::Skipped | StepState::Stopped);
                        prop_assert!(!is_stale || !planned.is_repeatable() || !is_current || play.state.key(id).is_some(),
                            "{} has a result from before the run was acquired", name);
                    }
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn an_entry_that_cannot_follow_changes_nothing(plan in plans_with_finally(), events in events(), at in any::<proptest::sample::Index>()) {
        let mut play = Play::new(&plan);
        for event in events {
            play.experience(event);
        }
        let before = step_states(&play.state);
        let entry = &at.get(&play.all).entry;
        if play.state.apply(UnixMillis(1), entry).is_err() {
            prop_assert_eq!(step_states(&play.state), before);
        }
    }
}

fn is_running_at(all: &[TimedEntry], until: &TimedEntry, name: &str) -> bool {
    let end = all.iter().position(|r| std::ptr::eq(r, until)).unwrap();
    let mut running = false;
    for timed in &all[..end] {
        match &timed.entry {
            Entry::StepStarted { step, .. } if step == name => running = true,
            Entry::AttemptChanged { step, to, .. } if step == name => {
                running = matches!(to, AttemptTransition::Running { .. });
            }
            Entry::StepSucceeded { step, .. } | Entry::StepFailed { step, .. } | Entry::StepInDoubt { step, .. }
                if step == name =>
            {
                running = false;
            }
            _ => {}
        }
    }
    running
}
