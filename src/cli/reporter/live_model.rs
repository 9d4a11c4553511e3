//! State of the runs that a view shows, and the lines that describe it.
//!
//! The lines fit the terminal: they are cut at its width, and what does not fit its height is
//! counted.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use stargate::{
    event::{Event, EventKind},
    id::RunId,
};
use stargate_sdk::ActionError;

use crate::cli::{
    format,
    ui::{self, TerminalSize},
};

/// Minimum duration of a step that gets a line: a shorter one could not be read.
const SHOW_AFTER: Duration = Duration::from_millis(250);
/// Share of the terminal's height that the lines occupy at most: the events above them stay
/// readable.
const MAX_SHARE: usize = 2;
/// Minimum number of lines for steps.
const MIN_ROWS: usize = 3;
/// Maximum width of the column with names of steps.
const MAX_NAME_WIDTH: usize = 32;
/// Number of next steps that are named.
const NEXT: usize = 3;

/// State of the runs of this process.
pub(super) struct LiveModel {
    runs: Vec<ShownRun>,
    /// Usual duration of the workflow, if this process executes only one run.
    estimate: Option<Duration>,
}

/// State of one run.
struct ShownRun {
    id: RunId,
    workflow: String,
    /// External systems that the run works on.
    target: Option<String>,
    since: Instant,
    /// Names of all steps, in the order of the plan.
    steps: Vec<String>,
    /// Steps that succeeded or were skipped.
    done: HashSet<String>,
    /// Steps that failed or are in doubt.
    failed: HashSet<String>,
    /// Steps that are neither done nor blocked, in the order in which they began.
    open: Vec<OpenStep>,
}

/// A step that is running or waiting.
struct OpenStep {
    name: String,
    /// Time of the first attempt in this process.
    since: Instant,
    attempt: u32,
    activity: Activity,
}

enum Activity {
    Running { message: String },
    BackingOff { until: Instant, error: String },
    AwaitingApproval { question: String },
}

impl LiveModel {
    pub(super) fn new(estimate: Option<Duration>) -> Self {
        Self { runs: Vec::new(), estimate }
    }

    /// Updates the state for an event that happened at `now`.
    pub(super) fn update(&mut self, event: &Event, now: Instant) {
        match &event.kind {
            EventKind::RunStarted { workflow, steps } => self.begin(&event.run, workflow, steps, &[], now),
            EventKind::RunResumed { workflow, steps, done } => self.begin(&event.run, workflow, steps, done, now),
            EventKind::RunFinished { .. } | EventKind::RunInterrupted => self.runs.retain(|run| run.id != event.run),
            other => {
                if let Some(run) = self.runs.iter_mut().find(|run| run.id == event.run) {
                    run.update(other, event, now);
                }
            }
        }
    }

    fn begin(&mut self, id: &RunId, workflow: &str, steps: &[String], done: &[String], now: Instant) {
        self.runs.retain(|run| run.id != *id);
        self.runs.push(ShownRun {
            id: id.clone(),
            workflow: workflow.to_owned(),
            target: None,
            since: now,
            steps: steps.to_vec(),
            done: done.iter().cloned().collect(),
            failed: HashSet::new(),
            open: Vec::new(),
        });
    }

    /// Returns the lines that describe the runs at `now`.
    pub(super) fn lines(&self, now: Instant, size: TerminalSize) -> Vec<String> {
        let estimate = self.estimate.filter(|_| self.runs.len() == 1);
        let shown = self.runs.iter().filter(|run| run.age(now) >= SHOW_AFTER);
        let rows = (size.rows / MAX_SHARE).saturating_sub(2).max(MIN_ROWS) / self.runs.len().max(1);
        let lines = shown.flat_map(|run| run.lines(now, rows.max(1), estimate));
        lines.map(|line| cut(&ui::live_text(&line), size.columns.saturating_sub(1))).collect()
    }

    /// Returns one line for each run, for output without a terminal: what is running for how long.
    pub(super) fn heartbeats(&self, now: Instant) -> Vec<(RunId, String)> {
        self.runs.iter().map(|run| (run.id.clone(), run.heartbeat(now))).collect()
    }
}

impl ShownRun {
    fn update(&mut self, kind: &EventKind, event: &Event, now: Instant) {
        match kind {
            EventKind::RunBound { targets, .. } => {
                let identities = targets.iter().filter_map(|target| target.identity.as_ref());
                let described: Vec<_> = identities.map(|identity| identity.description.as_str()).collect();
                self.target = (!described.is_empty()).then(|| described.join(", "));
            }
            EventKind::StepExpanded { step, instances, .. } => self.expand(step, instances),
            EventKind::StepStarted { step, attempt, find } => {
                let message = if *find { "finding out whether an earlier attempt took effect" } else { "" };
                self.set(step, *attempt, Activity::Running { message: message.into() }, now);
            }
            EventKind::StepProgress { step, message } => {
                if let Some(open) = self.open.iter_mut().find(|open| open.name == *step) {
                    open.activity = Activity::Running { message: message.clone() };
                }
            }
            EventKind::StepRetrying { step, attempt, error, until } => {
                let until = now + until.since(event.at);
                self.set(step, *attempt, Activity::BackingOff { until, error: first_line(error) }, now);
            }
            EventKind::ApprovalRequested { step, question } => {
                self.set(step, 0, Activity::AwaitingApproval { question: question.clone() }, now);
            }
            EventKind::StepSucceeded { step, .. } | EventKind::StepSkipped { step } => {
                self.close(step);
                self.done.insert(step.clone());
            }
            EventKind::StepFailed { step, .. } | EventKind::StepInDoubt { step, .. } => {
                self.close(step);
                self.failed.insert(step.clone());
            }
            EventKind::StepAnswered { step, .. } => self.close(step),
            EventKind::RunStarted { .. }
            | EventKind::RunResumed { .. }
            | EventKind::StepLog { .. }
            | EventKind::FinallyStarted { .. }
            | EventKind::RunFinished { .. }
            | EventKind::LockAwaited { .. }
            | EventKind::CancelRequested { .. }
            | EventKind::RunInterrupted => {}
        }
    }

    /// Replaces a step by its instances.
    fn expand(&mut self, step: &str, instances: &[String]) {
        if let Some(at) = self.steps.iter().position(|name| name == step) {
            let known: HashSet<&String> = self.steps.iter().collect();
            let new: Vec<String> = instances.iter().filter(|name| !known.contains(name)).cloned().collect();
            self.steps.splice(at..=at, new);
        }
    }

    fn set(&mut self, step: &str, attempt: u32, activity: Activity, now: Instant) {
        match self.open.iter_mut().find(|open| open.name == step) {
            Some(open) => (open.attempt, open.activity) = (attempt, activity),
            None => self.open.push(OpenStep { name: step.to_owned(), since: now, attempt, activity }),
        }
    }

    fn close(&mut self, step: &str) {
        self.open.retain(|open| open.name != step);
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// Returns the head line, at most `rows` lines of steps, and the line of what is next.
    fn lines(&self, now: Instant, rows: usize, estimate: Option<Duration>) -> Vec<String> {
        let mut lines = vec![self.head(now, estimate)];
        // An operator must see first what waits for an answer.
        let (waiting, others): (Vec<_>, Vec<_>) =
            self.open.iter().partition(|open| matches!(open.activity, Activity::AwaitingApproval { .. }));
        let shown: Vec<_> = waiting.into_iter().chain(others).filter(|open| open.is_shown(now)).collect();
        let fitting = if shown.len() > rows { rows.saturating_sub(1) } else { shown.len() };
        let width = shown.iter().take(fitting).map(|open| open.name.chars().count()).max().unwrap_or_default();
        lines.extend(shown.iter().take(fitting).map(|open| open.line(now, width.min(MAX_NAME_WIDTH))));
        if shown.len() > fitting {
            lines.push(format!("  … and {} more", shown.len() - fitting));
        }
        lines.extend(self.next());
        lines
    }

    /// Returns workflow, progress, time and target, such as `deploy: 12 of 74 steps, 3m 05s, about
    /// 4m 00s left`.
    fn head(&self, now: Instant, estimate: Option<Duration>) -> String {
        let age = self.age(now);
        let steps = self.steps.len();
        let mut parts = vec![format!("{} of {}", self.done.len(), format::plural(steps, "step")), time(age)];
        if !self.failed.is_empty() {
            parts.insert(1, format!("{} failed", self.failed.len()));
        }
        if let Some(left) = estimate.and_then(|estimate| estimate.checked_sub(age)).filter(|left| left.as_secs() > 0) {
            parts.push(format!("about {} left", time(left)));
        }
        parts.push(format!("run {}", self.id));
        parts.extend(self.target.clone());
        format!("{}: {}", self.workflow, parts.join(", "))
    }

    /// Returns the line of the next steps; `None` if all steps have started.
    fn next(&self) -> Option<String> {
        let open: HashSet<&str> = self.open.iter().map(|open| open.name.as_str()).collect();
        let is_next = |name: &&String| {
            !self.done.contains(*name) && !self.failed.contains(*name) && !open.contains(name.as_str())
        };
        let next: Vec<_> = self.steps.iter().filter(is_next).collect();
        let named: Vec<_> = next.iter().take(NEXT).map(|name| name.as_str()).collect();
        let more = next.len().saturating_sub(NEXT);
        match (named.is_empty(), more) {
            (true, _) => None,
            (false, 0) => Some(format!("next: {}", named.join(", "))),
            (false, more) => Some(format!("next: {} and {more} more", named.join(", "))),
        }
    }

    fn heartbeat(&self, now: Instant) -> String {
        let open: Vec<_> = self.open.iter().take(NEXT).map(|open| open.words(now)).collect();
        let more = self.open.len().saturating_sub(NEXT);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let steps = format::plural(self.steps.len(), "step");
        let open = if open.is_empty() { "no step is running".to_owned() } else { open.join(", ") };
        format!("{} of {steps} done after {}: {open}{more}", self.done.len(), time(self.age(now)))
    }
}

impl OpenStep {
    fn is_shown(&self, now: Instant) -> bool {
        !matches!(self.activity, Activity::Running { .. }) || now.saturating_duration_since(self.since) >= SHOW_AFTER
    }

    /// Returns the line of the step, with its name padded to `width`.
    fn line(&self, now: Instant, width: usize) -> String {
        let Self { name, attempt, .. } = self;
        let age = time(now.saturating_duration_since(self.since));
        let text = match &self.activity {
            Activity::Running { message } if *attempt > 1 => format!("{age}  attempt {attempt}  {message}"),
            Activity::Running { message } => format!("{age}  {message}"),
            Activity::BackingOff { until, error } => {
                format!("{age}  attempt {} in {}: {error}", attempt + 1, time(until.saturating_duration_since(now)))
            }
            Activity::AwaitingApproval { question } => format!("waits for approval: {question}"),
        };
        format!("  {name:width$}  {}", text.trim_end())
    }

    /// Returns name, time and activity in few words.
    fn words(&self, now: Instant) -> String {
        let age = time(now.saturating_duration_since(self.since));
        match &self.activity {
            Activity::Running { .. } => format!("{} ({age})", self.name),
            Activity::BackingOff { until, .. } => {
                format!("{} ({age}, next attempt in {})", self.name, time(until.saturating_duration_since(now)))
            }
            Activity::AwaitingApproval { .. } => format!("{} (waits for approval)", self.name),
        }
    }
}

/// Formats a duration in whole seconds, so that the width of a line is steady.
fn time(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds => format::duration(Duration::from_secs(seconds)),
    }
}

fn first_line(error: &ActionError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Cuts a line at `columns`.
fn cut(line: &str, columns: usize) -> String {
    if line.chars().count() <= columns {
        return line.to_owned();
    }
    let start: String = line.chars().take(columns.saturating_sub(1)).collect();
    format!("{}…", start.trim_end())
}

#[cfg(test)]
mod tests {
    use stargate::clock::UnixMillis;

    use super::*;

    const SIZE: TerminalSize = TerminalSize { columns: 80, rows: 24 };

    struct Screen {
        model: LiveModel,
        run: RunId,
        start: Instant,
    }

    impl Screen {
        fn of(steps: &[&str], estimate: Option<u64>) -> Self {
            let model = LiveModel::new(estimate.map(Duration::from_secs));
            let mut screen = Self { model, run: RunId::generate(), start: Instant::now() };
            let steps = steps.iter().map(ToString::to_string).collect();
            screen.tell(0, EventKind::RunStarted { workflow: "w".into(), steps });
            screen
        }

        /// Adds an event at a time in seconds after the start.
        fn tell(&mut self, second: u64, kind: EventKind) {
            let event = Event { at: UnixMillis(0), run: self.run.clone(), kind };
            self.model.update(&event, self.start + Duration::from_secs(second));
        }

        fn started(&mut self, second: u64, step: &str) {
            self.tell(second, EventKind::StepStarted { step: step.into(), attempt: 1, find: false });
        }

        fn lines(&self, second: u64) -> Vec<String> {
            let lines = self.model.lines(self.start + Duration::from_secs(second), SIZE);
            assert!(lines.iter().all(|line| line.chars().count() < SIZE.columns), "{lines:?}");
            lines.iter().map(|line| line.replace(self.run.as_str(), "RUN")).collect()
        }
    }

    fn succeeded(step: &str) -> EventKind {
        EventKind::StepSucceeded { step: step.into(), changes: vec![], found: false }
    }

    #[test]
    fn the_head_has_progress_time_and_estimate_and_the_last_line_what_is_next() {
        let mut screen = Screen::of(&["a", "b", "c", "d", "e", "f"], Some(300));
        screen.started(0, "a");
        screen.tell(20, succeeded("a"));
        screen.started(20, "b");
        screen.tell(30, EventKind::StepProgress { step: "b".into(), message: "waiting".into() });
        let expected =
            ["w: 1 of 6 steps, 2m 05s, about 2m 55s left, run RUN", "  b  1m 45s  waiting", "next: c, d, e and 1 more"];
        assert_eq!(screen.lines(125), expected);
        assert_eq!(screen.lines(301)[0], "w: 1 of 6 steps, 5m 01s, run RUN", "the estimate is over");
    }

    #[test]
    fn a_step_that_waits_for_its_retry_stays_with_reason_and_countdown() {
        let mut screen = Screen::of(&["a"], None);
        screen.started(0, "a");
        let error = ActionError::transient("429 Too Many Requests");
        screen.tell(2, EventKind::StepRetrying { step: "a".into(), attempt: 1, error, until: UnixMillis(9_000) });
        assert_eq!(screen.lines(4)[1], "  a  4s  attempt 2 in 7s: 429 Too Many Requests");
        assert_eq!(screen.lines(8)[1], "  a  8s  attempt 2 in 3s: 429 Too Many Requests");
        screen.tell(11, EventKind::StepStarted { step: "a".into(), attempt: 2, find: false });
        assert_eq!(screen.lines(12)[1], "  a  12s  attempt 2");
    }

    #[test]
    fn what_does_not_fit_is_counted_and_an_approval_is_always_shown() {
        let names: Vec<String> = (0..30).map(|number| format!("s{number}")).collect();
        let mut screen = Screen::of(&names.iter().map(String::as_str).collect::<Vec<_>>(), None);
        names.iter().take(29).for_each(|name| screen.started(0, name));
        screen.tell(1, EventKind::ApprovalRequested { step: "s29".into(), question: "Go on?".into() });
        let lines = screen.lines(5);
        assert!(lines.len() <= SIZE.rows / 2, "half of the screen stays for events: {lines:?}");
        assert_eq!(lines[1], "  s29  waits for approval: Go on?");
        assert_eq!(lines.last().map(String::as_str), Some("  … and 21 more"));
    }

    #[test]
    fn a_long_line_is_cut_and_control_characters_are_shown() {
        let mut screen = Screen::of(&["a"], None);
        screen.started(0, "a");
        let message = format!("\u{1b}[2J{}", "x".repeat(200));
        screen.tell(1, EventKind::StepProgress { step: "a".into(), message });
        let line = &screen.lines(2)[1];
        assert!(line.starts_with("  a  2s  \\x1b[2Jxxx") && line.ends_with("x…"), "{line}");
    }

    #[test]
    fn a_heartbeat_names_what_is_running() {
        let mut screen = Screen::of(&["a", "b"], None);
        screen.started(0, "a");
        let heartbeat = || screen.model.heartbeats(screen.start + Duration::from_secs(10)).remove(0).1;
        assert_eq!(heartbeat(), "0 of 2 steps done after 10s: a (10s)");
    }
}
