//! Properties of the fold and the decision function, over generated plans and histories.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;
use stargate::{
    clock::UnixMillis,
    id::{Epoch, PlanDigest},
    plan::{ForEach, Plan, Template},
    run::{
        Answer, AttemptFailure, AttemptMode, AttemptTransition, Effect, Entry, Outcome, Progress, RunState, StepId,
        StepState, StoredIn, TimedEntry, after_failure, next,
    },
};
use stargate_sdk::ActionError;
use support::{expression, plan, step};

/// What the world does with an attempt.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Succeed,
    Transient,
    Permanent,
    Unknown,
    /// An attempt stores a checkpoint.
    Checkpoint,
    /// The process dies, and another one takes the run over.
    Crash,
    /// A person wants the run to end.
    Cancel,
    /// A person says yes to what a step asks, or that it took effect.
    Yes,
    /// A person says no.
    No,
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        6 => Just(Fate::Succeed),
        2 => Just(Fate::Transient),
        1 => Just(Fate::Permanent),
        2 => Just(Fate::Unknown),
        1 => Just(Fate::Checkpoint),
        2 => Just(Fate::Crash),
        1 => Just(Fate::Cancel),
        3 => Just(Fate::Yes),
        1 => Just(Fate::No),
    ];
    proptest::collection::vec(fate, 1..60)
}

fn plans() -> impl Strategy<Value = Plan> {
    let actions = prop_oneof![Just("test.find"), Just("test.repeat"), Just("test.ask")];
    let steps = proptest::collection::vec((actions, any::<u64>(), 0..5_usize), 1..8);
    steps.prop_map(|steps| {
        let steps = steps.into_iter().enumerate().map(|(i, (action, bits, kind))| {
            let needs: Vec<usize> = (0..i).filter(|j| bits >> j & 1 == 1).collect();
            let mut step = step(&format!("s{i}"), action, &needs);
            if (bits >> 8).is_multiple_of(8) {
                step.approval = Some(Template::Literal("go on?".into()));
            }
            if kind == 0 {
                step.for_each = Some(ForEach {
                    items: expression("inputs.items"),
                    variable: "item".into(),
                    key: expression("item"),
                    max_parallel: (bits % 3 != 0).then_some((bits % 3) as u32),
                });
            }
            step
        });
        plan(steps.collect())
    })
}

/// Plays a run the way the engine does, and keeps everything that it journals.
#[derive(Clone)]
struct Play<'a> {
    plan: &'a Plan,
    state: RunState,
    now: UnixMillis,
    epoch: Epoch,
    all: Vec<TimedEntry>,
    in_flight: Vec<(StepId, u32)>,
    /// What attempts in flight have changed, as far as they have told.
    told: BTreeMap<StepId, Vec<String>>,
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
            told: BTreeMap::new(),
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
                self.perform(effect);
            }
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::RequestApproval(id) => {
                let step = self.state.name(id).to_owned();
                self.record(Entry::ApprovalRequested { step, question: "go on?".into() });
            }
            Effect::Expand(id) => {
                let step = self.state.name(id).to_owned();
                self.record(Entry::StepExpanded { step, keys: vec!["x".into(), "y".into(), "z".into()] });
            }
            Effect::Start(id) => {
                let (step, attempt) = (self.state.name(id).to_owned(), self.state.attempts(id) + 1);
                self.record(Entry::StepStarted { step, attempt });
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
            Effect::Finish(outcome) => self.record(Entry::RunFinished { outcome, outputs: serde_json::Map::new() }),
        }
    }

    fn suffer(&mut self, fate: Fate) {
        self.now = UnixMillis(self.now.0 + 10);
        match fate {
            Fate::Crash => self.crash(),
            Fate::Cancel => self.cancel(),
            Fate::Yes => self.answer(Answer::Approved, Answer::Done { output: json!({}) }),
            Fate::No => self.answer(Answer::Refused { error: ActionError::permanent("no") }, Answer::NotDone),
            Fate::Checkpoint => self.checkpoint(),
            Fate::Succeed => self.end(|play, id| {
                let step = play.state.name(id).to_owned();
                let changes = play.state.changes_with(id, play.told_by(id));
                Entry::StepSucceeded { step, output: json!({}), changes, found: false }
            }),
            Fate::Transient => self.end(|play, id| play.failure(id, ActionError::transient("busy"))),
            Fate::Permanent => self.end(|play, id| play.failure(id, ActionError::permanent("no"))),
            Fate::Unknown => self.end(|play, id| play.failure(id, ActionError::unknown("lost"))),
        }
        self.decide();
    }

    fn checkpoint(&mut self) {
        if let Some(&(id, attempt)) = self.in_flight.last() {
            let step = self.state.name(id).to_owned();
            self.told.entry(id).or_default().push(format!("{step} told at {}", self.now.0));
            let changes = self.told_by(id);
            self.record(Entry::Checkpointed { step, value: json!(self.now), attempt, changes });
        }
    }

    fn told_by(&self, id: StepId) -> Vec<String> {
        self.told.get(&id).cloned().unwrap_or_default()
    }

    /// Every other attempt that fails has changed something by then.
    fn failure(&self, id: StepId, error: ActionError) -> Entry {
        let told = format!("{} at {}", self.state.name(id), self.now.0);
        let mut changes = self.told_by(id);
        changes.extend((self.now.0 / 10 % 2 == 0).then_some(told));
        after_failure(self.plan, &self.state, id, AttemptFailure { error, changes }, self.now, 1)
    }

    fn end(&mut self, entry: impl FnOnce(&Self, StepId) -> Entry) {
        if let Some((id, number)) = self.in_flight.pop() {
            let StepState::Running { attempt, .. } = self.state.state(id) else { panic!("in flight but not running") };
            assert_eq!(attempt.number, number, "the answer belongs to the attempt that is in flight");
            let entry = entry(self, id);
            self.record(entry);
            self.told.remove(&id);
        }
    }

    fn cancel(&mut self) {
        if self.state.progress() == Progress::Running {
            self.record(Entry::CancelRequested { by: "somebody".into() });
        }
    }

    /// A person answers the first step that asks: behind the back of who advances the run, or by taking it over if it has
    /// stopped for that.
    fn answer(&mut self, approval: Answer, resolution: Answer) {
        let asks = |id: &StepId| {
            matches!(self.state.state(*id), StepState::AwaitingApproval { .. } | StepState::InDoubt { .. })
        };
        let Some(id) = self.state.steps().find(asks) else { return };
        let is_over = matches!(self.state.progress(), Progress::Finished(outcome) if outcome.is_final());
        if is_over {
            return;
        }
        if self.state.progress() != Progress::Running {
            self.crash();
        }
        let approves = matches!(self.state.state(id), StepState::AwaitingApproval { .. });
        let step = self.state.name(id).to_owned();
        let answer = if approves { approval } else { resolution };
        self.record(Entry::StepAnswered { step, by: "somebody".into(), answer });
    }

    fn crash(&mut self) {
        if matches!(self.state.progress(), Progress::Finished(outcome) if outcome.is_final()) {
            return;
        }
        self.in_flight.clear();
        self.told.clear();
        self.epoch = self.epoch.next();
        let reopened = matches!(self.state.progress(), Progress::Finished(_));
        self.record(Entry::RunAcquired { epoch: self.epoch, owner: "next".into() });
        if reopened {
            self.record(Entry::RunReopened);
        }
    }
}

/// What the journal keeps of a history: everything in order, but only the latest attempt and checkpoint of each step.
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

/// What attempts have changed, by the entries.
fn told<'a>(entries: impl Iterator<Item = &'a TimedEntry>) -> BTreeSet<&'a str> {
    let changes = entries.filter_map(|timed| match &timed.entry {
        Entry::Checkpointed { changes, .. }
        | Entry::AttemptChanged { changes, .. }
        | Entry::StepSucceeded { changes, .. }
        | Entry::StepFailed { changes, .. }
        | Entry::StepInDoubt { changes, .. } => Some(changes),
        _ => None,
    });
    changes.flatten().map(String::as_str).collect()
}

fn words(state: &RunState) -> Vec<(String, StepState, serde_json::Value, BTreeSet<String>)> {
    let changes = |id| state.changes_with(id, vec![]).into_iter().collect();
    let words = |id| (state.name(id).to_owned(), state.state(id).clone(), state.checkpoint(id).clone(), changes(id));
    state.steps().map(words).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn at_every_prefix_the_state_recovered_from_the_journal_goes_on_like_the_living_one(plan in plans(), fates in fates()) {
        let mut play = Play::new(&plan);
        for fate in fates {
            play.suffer(fate);
        }
        for end in 1..=play.all.len() {
            let prefix = &play.all[..end];
            let mut living = RunState::new(&plan);
            for timed in prefix {
                living.apply(timed.at, &timed.entry).unwrap();
            }
            let (history, latest) = kept(prefix);
            let mut recovered = RunState::recover(&plan, &history, &latest).unwrap();
            if living.progress() == Progress::Running {
                let acquired = Entry::RunAcquired { epoch: Epoch(99), owner: "last".into() };
                living.apply(UnixMillis(9_999), &acquired).unwrap();
                recovered.apply(UnixMillis(9_999), &acquired).unwrap();
            }
            prop_assert_eq!(living.progress(), recovered.progress());
            prop_assert_eq!(living.changed(), recovered.changed());
            prop_assert_eq!(told(prefix.iter()), told(history.iter().chain(&latest)), "a change is lost");
            // Nobody goes on with a run that was cancelled: whether an attempt was lost or goes on is of no account.
            if living.progress() != Progress::Finished(Outcome::Cancelled) {
                prop_assert_eq!(words(&living), words(&recovered));
            }
            prop_assert_eq!(next(&plan, &living, UnixMillis(9_999), 4), next(&plan, &recovered, UnixMillis(9_999), 4));
        }
    }

    #[test]
    fn once_a_run_is_to_end_nothing_is_begun_and_it_ends_when_nothing_is_in_flight(
        plan in plans(), before in fates(), after in fates(),
    ) {
        let mut play = Play::new(&plan);
        prop_assume!(play.state.progress() == Progress::Running);
        for fate in before {
            // The last moment at which the run goes on is as good as any.
            let mut ahead = play.clone();
            ahead.suffer(fate);
            if ahead.state.progress() != Progress::Running || ahead.state.is_cancelling() {
                break;
            }
            play = ahead;
        }
        play.suffer(Fate::Cancel);
        let cancelled = play.all.len();
        for fate in after.into_iter().filter(|fate| !matches!(fate, Fate::Cancel)) {
            play.suffer(fate);
        }
        while !play.in_flight.is_empty() {
            play.suffer(Fate::Transient);
        }
        let ending = play.state.progress();
        prop_assert!(matches!(ending, Progress::Finished(Outcome::Cancelled | Outcome::Succeeded)), "{:?}", ending);
        let begins = |entry: &Entry| match entry {
            Entry::StepStarted { .. } | Entry::StepExpanded { .. } => true,
            Entry::AttemptChanged { to, .. } => matches!(to, AttemptTransition::Running { .. }),
            _ => false,
        };
        prop_assert!(!play.all[cancelled..].iter().any(|timed| begins(&timed.entry)));
    }

    #[test]
    fn when_nothing_fails_every_run_ends_with_every_step_done_after_all_it_needs(plan in plans()) {
        let mut play = Play::new(&plan);
        while play.state.progress() != Progress::Finished(Outcome::Succeeded) {
            let asked = play.state.progress() == Progress::Finished(Outcome::AwaitingApproval);
            prop_assert!(asked || !play.in_flight.is_empty(), "a run that goes on has something in flight");
            play.suffer(if asked { Fate::Yes } else { Fate::Succeed });
        }
        prop_assert_eq!(play.state.progress(), Progress::Finished(Outcome::Succeeded));
        let position = |wanted: &dyn Fn(&Entry) -> bool| play.all.iter().position(|r| wanted(&r.entry));
        for step in &plan.steps {
            let begun = |e: &Entry| match e {
                Entry::StepStarted { step: s, .. }
                | Entry::StepExpanded { step: s, .. }
                | Entry::ApprovalRequested { step: s, .. } => *s == step.name,
                _ => false,
            };
            let begun = position(&begun).unwrap();
            for &need in &step.needs {
                let name = &plan.steps[need].name;
                let last = play.all.iter().rposition(|r| matches!(&r.entry, Entry::StepSucceeded { step: s, .. }
                    if s == name || s.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('['))));
                prop_assert!(last.unwrap() < begun);
            }
        }
    }

    #[test]
    fn no_step_begins_before_a_person_has_said_yes_and_no_more_parts_go_on_than_may(plan in plans(), fates in fates()) {
        let mut play = Play::new(&plan);
        for fate in fates {
            play.suffer(fate);
            for (node, step) in plan.steps.iter().enumerate() {
                let limit = step.for_each.as_ref().and_then(|each| each.max_parallel).unwrap_or(u32::MAX) as usize;
                let is_running = |id: &StepId| play.state.node(*id) == node && play.state.key(*id).is_some()
                    && matches!(play.state.state(*id), StepState::Running { .. } | StepState::BackingOff { .. });
                prop_assert!(play.state.steps().filter(is_running).count() <= limit, "{}", step.name);
            }
        }
        for step in plan.steps.iter().filter(|step| step.approval.is_some()) {
            let position = |wanted: &dyn Fn(&Entry) -> bool| play.all.iter().position(|r| wanted(&r.entry));
            let begun = position(&|e| matches!(e,
                Entry::StepStarted { step: s, .. } | Entry::StepExpanded { step: s, .. } if *s == step.name));
            let approved = position(&|e| matches!(e,
                Entry::StepAnswered { step: s, answer: Answer::Approved, .. } if *s == step.name));
            if let Some(begun) = begun {
                prop_assert!(approved.is_some_and(|approved| approved < begun), "{} began unasked", step.name);
            }
        }
    }

    #[test]
    fn an_action_that_must_not_be_repeated_is_never_run_again_after_an_unknown_outcome(plan in plans(), fates in fates()) {
        let mut play = Play::new(&plan);
        for fate in fates {
            play.suffer(fate);
        }
        for id in play.state.steps() {
            let asks = plan.steps[play.state.node(id)].action == "test.ask";
            let name = play.state.name(id);
            let mut unknown = false;
            for timed in play.all.iter().filter(|_| asks) {
                match &timed.entry {
                    Entry::StepAnswered { step, .. } if step == name => unknown = false,
                    Entry::RunAcquired { .. } => unknown |= began_and_did_not_end(&play.all, timed, name),
                    Entry::AttemptChanged { step, to: AttemptTransition::Running { mode: AttemptMode::Run }, .. } if step == name => {
                        prop_assert!(!unknown, "{} was run again", name);
                    }
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn an_entry_that_cannot_follow_changes_nothing(plan in plans(), fates in fates(), at in any::<proptest::sample::Index>()) {
        let mut play = Play::new(&plan);
        for fate in fates {
            play.suffer(fate);
        }
        let before = words(&play.state);
        let entry = &at.get(&play.all).entry;
        if play.state.apply(UnixMillis(1), entry).is_err() {
            prop_assert_eq!(words(&play.state), before);
        }
    }
}

fn began_and_did_not_end(all: &[TimedEntry], until: &TimedEntry, name: &str) -> bool {
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
