//! Implementation of the command `why`.
//!
//! JSON: `{run, workflow, status, owner, overtaken_by, targets, locks_held_by_others,
//! steps_blocked, steps, hint}`; each step has `step`, `state`, `attempts`, `explanation`, `error`
//! and `blocked_by`.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stargate::{
    clock::UnixMillis,
    journal::{HeldLock, Journal, LockTaking, StoredRun},
    plan::Plan,
    run::{AttemptMode, Entry, ObservedStatus, Outcome, RunState, StateName, StepId, StepState},
};
use stargate_sdk::{ActionError, Nature};

use super::view_context::ViewContext;
use crate::cli::{
    Failure, Settings,
    args::{Output, WhyArgs},
    exit::Exit,
    format, hint, journals, runs,
    ui::{self, Tone},
};

/// Command `why`: explains from the journal why a run or a step failed or is waiting.
pub(crate) async fn why(settings: &Settings, args: &WhyArgs) -> Result<Exit, Failure> {
    let Some(journal) = journals::open_existing(settings).await? else {
        return Err(if args.run == "@latest" { runs::no_runs() } else { runs::unknown_run(&args.run) });
    };
    let run = runs::find(&*journal, &args.run).await?;
    let explanation = RunExplanation::load(&*journal, journal.load(run).await?).await?;
    let steps = match &args.step {
        Some(name) => vec![explanation.find(name)?],
        None => explanation.unfinished().collect(),
    };
    let reasons: Vec<_> = steps.into_iter().map(|id| explanation.reason(id)).collect();
    match settings.output {
        Output::Json => ui::out_json_pretty(&explanation.to_json(&reasons)),
        Output::Text => explanation.show(&reasons, args.step.is_some()),
    }
    Ok(Exit::Success)
}

/// Run with the facts that explain its status.
struct RunExplanation {
    stored: StoredRun,
    plan: Plan,
    state: RunState,
    status: ObservedStatus,
    /// Process that owns the run, if it is live.
    owner: Option<String>,
    /// Locks of the run that other runs hold.
    locks: Vec<HeldLock>,
    /// Run that has overtaken this one.
    overtaken_by: Option<LockTaking>,
    /// Current time, if the run is being executed.
    running_until: Option<UnixMillis>,
}

/// Explanation of a step's state.
struct StepExplanation {
    step: String,
    /// State of the step.
    state: StateName,
    tone: Tone,
    /// Number of attempts so far.
    attempts: u32,
    /// Explanation in one sentence.
    text: String,
    error: Option<ActionError>,
    /// Unfinished dependencies, with their states.
    blocked_by: Vec<(String, StateName)>,
}

impl RunExplanation {
    /// Folds a stored run and reads the holders of its locks.
    async fn load(journal: &dyn Journal, stored: StoredRun) -> Result<Self, Failure> {
        let context = ViewContext::now()?;
        let plan = runs::plan_of(&stored)?;
        let state = runs::state_of(&stored, &plan)?;
        let owner = context.live_owner(&stored.row).map(ToString::to_string);
        let held = if plan.locks.is_empty() { Vec::new() } else { journal.holders(plan.locks.clone()).await? };
        let by_others = |lock: &HeldLock| lock.holder.id != stored.row.id && context.live_owner(&lock.holder).is_some();
        let locks = held.into_iter().filter(by_others).collect();
        let overtaken_by = runs::overtaken_by(journal, &stored.row, &plan).await?;
        let status = context.status(&stored.row);
        let running_until = context.running_until(status);
        Ok(Self { stored, plan, state, status, owner, locks, overtaken_by, running_until })
    }

    fn find(&self, name: &str) -> Result<StepId, Failure> {
        runs::find_step(&self.stored.row.id, &self.state, name, "why")
    }

    /// Returns the steps that are not done and not blocked by another step.
    fn unfinished(&self) -> impl Iterator<Item = StepId> {
        self.state.steps().filter(|id| match self.state.state(*id) {
            StepState::Ready
            | StepState::Running { .. }
            | StepState::BackingOff { .. }
            | StepState::Unknown { .. }
            | StepState::AwaitingApproval { .. }
            | StepState::InDoubt { .. }
            | StepState::Failed { .. } => true,
            StepState::Blocked { .. }
            | StepState::Stopped
            | StepState::Dropped
            | StepState::Expanded { .. }
            | StepState::Succeeded { .. }
            | StepState::Skipped => false,
        })
    }

    /// Counts the blocked steps.
    fn blocked(&self) -> usize {
        self.state
            .steps()
            .filter(|id| matches!(self.state.state(*id), StepState::Blocked { .. } | StepState::Stopped))
            .count()
    }

    /// Explains one step.
    fn reason(&self, id: StepId) -> StepExplanation {
        let state = self.state.state(id);
        let error = match state {
            StepState::Failed { error } | StepState::InDoubt { error } | StepState::BackingOff { error, .. } => {
                Some(error.clone())
            }
            _ => None,
        };
        let (step, attempts) = (self.state.name(id).to_owned(), self.state.attempts(id));
        StepExplanation {
            step,
            state: state.name(),
            tone: tone(state),
            attempts,
            text: self.text(id),
            error,
            blocked_by: self.blocked_by(id),
        }
    }

    /// Explains the state of a step in one sentence.
    fn text(&self, id: StepId) -> String {
        let attempts = self.state.attempts(id);
        let running = self.owner.is_some();
        match self.state.state(id) {
            StepState::Blocked { .. } if self.waits_for_the_end(id) => {
                "under finally: it starts when all other steps have ended".into()
            }
            StepState::Blocked { .. } => "waiting for other steps".into(),
            StepState::Stopped => "a step that it needs has failed".into(),
            StepState::Dropped => "its key is no longer in the list of its step; what it has changed remains".into(),
            StepState::Ready if running => "ready to start, waiting for a slot".into(),
            StepState::Ready => format!("ready to start; the run is {}", self.status.name()),
            StepState::Expanded { open } => format!("{} not done", format::plural(*open, "instance")),
            StepState::Running { mode: AttemptMode::Find, .. } if running => {
                format!("attempt {attempts} is finding out whether an earlier one took effect")
            }
            StepState::Running { .. } if running => format!("attempt {attempts} is in progress{}", self.time_text(id)),
            StepState::Running { .. } | StepState::Unknown { .. } if self.only_reads(id) => {
                format!("the owner exited during attempt {attempts}, which only reads")
            }
            StepState::Running { .. } | StepState::Unknown { .. } => {
                format!("the owner exited during attempt {attempts}, which may have taken effect")
            }
            StepState::BackingOff { until, mode, .. } => {
                let next = if *mode == AttemptMode::Find { "finds out whether it took effect" } else { "starts" };
                format!("attempt {attempts} failed; the next one {next} at {}", format::time_of_day(*until))
            }
            StepState::AwaitingApproval { question } => question.clone(),
            StepState::InDoubt { .. } => {
                format!("attempt {attempts} may have taken effect; an operator must resolve it")
            }
            StepState::Succeeded { .. } => {
                format!("succeeded after {}{}", format::plural(attempts as usize, "attempt"), self.time_text(id))
            }
            StepState::Skipped if self.plan.steps[self.state.node(id)].when.is_none() => {
                "it reads an output that does not exist: its step was skipped, has failed or was not executed".into()
            }
            StepState::Skipped => format!("its condition was false: {}", self.condition(id)),
            StepState::Failed { .. } if self.state.is_failure_allowed(id) => {
                format!("failed at attempt {attempts}; its workflow allows that (allow_failure)")
            }
            StepState::Failed { .. } if attempts == 0 => "failed before its first attempt".into(),
            StepState::Failed { .. } => format!("failed at attempt {attempts}{}", self.time_text(id)),
        }
    }

    /// True for a step under `finally` as long as other steps have not ended.
    fn waits_for_the_end(&self, id: StepId) -> bool {
        self.plan.steps[self.state.node(id)].is_finally && self.state.outcome_before_finally().is_none()
    }

    /// Returns the time from the last start of a step to its end, or until now if it is running;
    /// empty if that is not stored.
    fn time_text(&self, id: StepId) -> String {
        let name = self.state.name(id);
        let mut latest = self.stored.history.iter().rev();
        let started =
            latest.clone().find(|timed| matches!(&timed.entry, Entry::StepStarted { step, .. } if step == name));
        let ended = latest.find(|timed| match &timed.entry {
            Entry::StepSucceeded { step, .. } | Entry::StepFailed { step, .. } => step == name,
            _ => false,
        });
        let Some(started) = started.map(|timed| timed.at) else { return String::new() };
        let ended = ended.map(|timed| timed.at).filter(|at| *at >= started);
        let is_running = matches!(self.state.state(id), StepState::Running { .. });
        let until = if is_running { self.running_until } else { ended };
        until.map(|until| format!(", {}", format::duration(until.since(started)))).unwrap_or_default()
    }

    fn only_reads(&self, id: StepId) -> bool {
        self.plan.steps[self.state.node(id)].nature == Nature::Observe
    }

    /// Returns the condition of a step as it is evaluated: its own and those of the steps that
    /// inline it.
    fn condition(&self, id: StepId) -> String {
        let mut conditions = Vec::new();
        let mut next = self.plan.steps[self.state.node(id)].when.as_ref();
        while let Some(condition) = next {
            conditions.push(condition.source.as_str());
            next = condition.and.as_deref();
        }
        conditions.reverse();
        conditions.join(" && ")
    }

    /// Returns the unfinished dependencies of a blocked step, with their states.
    fn blocked_by(&self, id: StepId) -> Vec<(String, StateName)> {
        if !matches!(self.state.state(id), StepState::Blocked { .. } | StepState::Stopped) {
            return Vec::new();
        }
        let planned = &self.plan.steps[self.state.node(id)];
        let before = planned.predecessors().map(|before| self.counterpart(id, before));
        let open = before.filter_map(|name| Some((self.state.state(self.state.find(&name)?), name)));
        let open = open.map(|(state, name)| (name, state));
        let open = open.filter(|(_, state)| !matches!(state, StepState::Succeeded { .. } | StepState::Skipped));
        open.map(|(name, state)| (name, state.name())).collect()
    }

    /// Returns the name of the step that `id` waits for: of the instance with the same key, if the
    /// step waits for no others.
    fn counterpart(&self, id: StepId, before: usize) -> String {
        let name = &self.plan.steps[before].name;
        match self.state.key(id) {
            Some(key) if self.plan.steps[self.state.node(id)].needs_each.contains(&before) => format!("{name}[{key}]"),
            _ => name.clone(),
        }
    }

    /// Returns the command that continues the run, or that replaces it.
    fn next(&self) -> Option<String> {
        let (row, overtaken) = (&self.stored.row, self.overtaken_by.is_some());
        match self.status {
            ObservedStatus::Finished(Outcome::Succeeded | Outcome::Cancelled) => None,
            ObservedStatus::Running => self.answer_hint().or_else(|| Some(hint::history(&row.id))),
            ObservedStatus::Finished(Outcome::InDoubt | Outcome::AwaitingApproval) if !overtaken => {
                self.answer_hint().map(|hint| hint::then_resume(&hint, &row.id))
            }
            ObservedStatus::Interrupted | ObservedStatus::Finished(_) => {
                Some(runs::continue_hint(row, &self.state, overtaken))
            }
        }
    }

    /// Returns the command that answers the first step which needs an answer.
    fn answer_hint(&self) -> Option<String> {
        let run = &self.stored.row.id;
        self.state.steps().find_map(|id| match self.state.state(id) {
            StepState::AwaitingApproval { .. } => Some(hint::approve(run, self.state.name(id))),
            StepState::InDoubt { .. } => Some(hint::resolve(run, self.state.name(id))),
            _ => None,
        })
    }

    /// Returns the line above the steps: status and owner.
    fn head(&self) -> String {
        let row = &self.stored.row;
        let owner = self.owner.iter().map(|owner| format!(", owned by {owner}"));
        let time = format::duration(runs::active_time(&self.stored, self.running_until));
        let owner = owner.collect::<String>();
        format!("{} {} {}{owner}, executed for {time}", row.id, row.workflow, self.status.name())
    }

    fn show(&self, reasons: &[StepExplanation], one: bool) {
        ui::out(&self.head());
        for target in self.state.targets().values() {
            ui::out(&format!("works on {}", target.description));
        }
        for lock in &self.locks {
            ui::out(&format!("lock {:?} is held by run {} of {}", lock.name, lock.holder.id, lock.holder.workflow));
        }
        if let Some(by) = &self.overtaken_by {
            ui::out(&runs::overtaken_text(&self.stored.row.id, by));
        }
        let width = reasons.iter().map(|reason| reason.step.chars().count()).max().unwrap_or_default();
        for reason in reasons {
            reason.show(width);
        }
        match self.blocked() {
            0 => {}
            _ if one => {}
            blocked => ui::out(&format!("{} blocked", format::plural(blocked, "step"))),
        }
        // Steps with the same error have the same hint.
        let hints: BTreeSet<_> = reasons.iter().filter_map(|reason| reason.error.as_ref()?.hint.clone()).collect();
        hints.into_iter().chain(self.next()).for_each(|text| ui::hint(&text));
    }

    fn to_json(&self, reasons: &[StepExplanation]) -> Value {
        let locks: Vec<_> = self
            .locks
            .iter()
            .map(|lock| json!({ "lock": lock.name, "run": lock.holder.id, "workflow": lock.holder.workflow }))
            .collect();
        json!({
            "run": self.stored.row.id, "workflow": self.stored.row.workflow, "status": self.status.name(),
            "owner": self.owner, "overtaken_by": self.overtaken_by.as_ref().map(|by| &by.run), "targets": self.state.targets(), "locks_held_by_others": locks, "steps_blocked": self.blocked(),
            "steps": reasons.iter().map(StepExplanation::to_json).collect::<Vec<_>>(), "hint": self.next(),
        })
    }
}

impl StepExplanation {
    fn show(&self, width: usize) {
        ui::out(&format!("{:width$}  {}: {}", self.step, ui::paint_out(self.tone, &self.state.to_string()), self.text));
        if let Some(error) = &self.error {
            ui::out(&format!("{:width$}    {error}", ""));
        }
        for (need, state) in &self.blocked_by {
            ui::out(&format!("{:width$}    {need} is {state}", ""));
        }
    }

    fn to_json(&self) -> Value {
        let blocked_by: Vec<_> =
            self.blocked_by.iter().map(|(step, state)| json!({ "step": step, "state": state })).collect();
        json!({
            "step": self.step, "state": self.state, "attempts": self.attempts, "explanation": self.text,
            "error": self.error, "blocked_by": blocked_by,
        })
    }
}

fn tone(state: &StepState) -> Tone {
    match state {
        StepState::Failed { .. } | StepState::InDoubt { .. } => Tone::Bad,
        StepState::Succeeded { .. } => Tone::Good,
        StepState::Blocked { .. }
        | StepState::Stopped
        | StepState::Dropped
        | StepState::Ready
        | StepState::Expanded { .. }
        | StepState::Running { .. }
        | StepState::BackingOff { .. }
        | StepState::Unknown { .. }
        | StepState::AwaitingApproval { .. }
        | StepState::Skipped => Tone::Notable,
    }
}
