//! Text of events: the same lines in the live view and in plain output.

use std::collections::BTreeMap;

use stargate::{
    clock::UnixMillis,
    event::{BoundLock, BoundTarget, Event, EventKind},
    id::RunId,
};
use stargate_sdk::ActionError;

use super::{log_tail::LogTail, summary::WARNING};
use crate::cli::{
    format, hint,
    ui::{Tone, paint_err},
};

/// Maximum width to which step names are padded, in columns.
const MAX_STEP_WIDTH: usize = 28;
/// Number of characters that identify a run on one screen: the random end of its ULID.
const ID_TAIL_CHARS: usize = 4;

/// Formatter that turns events into lines: time, step, text.
pub(super) struct LineFormatter {
    /// Lines name their run, because several runs share the output.
    many: bool,
    /// Captured lines are shown as they arrive.
    verbose: bool,
    log: LogTail,
    /// Width of the step column for each run.
    widths: BTreeMap<RunId, usize>,
}

impl LineFormatter {
    pub(super) fn new(many: bool, verbose: bool) -> Self {
        Self { many, verbose, log: LogTail::default(), widths: BTreeMap::new() }
    }

    /// Returns the lines of an event; none for progress.
    pub(super) fn lines(&mut self, event: &Event) -> Vec<String> {
        let mut lines = self.log_lines(event);
        lines.extend(self.event_lines(event));
        lines
    }

    /// Returns the captured lines to show: all of them as they arrive if verbose, otherwise the
    /// last ones before a failure.
    fn log_lines(&mut self, event: &Event) -> Vec<String> {
        let failed = self.log.update(event);
        let (step, lines) = match (&event.kind, failed) {
            (EventKind::StepLog { step, line }, _) if self.verbose => {
                (step.clone(), line.lines().map(str::to_owned).collect())
            }
            (_, Some(failed)) if !self.verbose => failed,
            _ => return Vec::new(),
        };
        let line =
            |text: &String| self.line(event.at, &event.run, &step, &paint_err(Tone::Quiet, &format!("| {text}")));
        lines.iter().map(line).collect()
    }

    /// Returns the lines for the event itself.
    fn event_lines(&mut self, event: &Event) -> Vec<String> {
        let (step, text) = match &event.kind {
            EventKind::RunStarted { workflow, steps } => {
                self.set_width(&event.run, steps);
                ("", vec![format!("run {} of {workflow}: {}", event.run, format::plural(steps.len(), "step"))])
            }
            EventKind::RunResumed { workflow, steps, done } => {
                self.set_width(&event.run, steps);
                let (done, all) = (done.len(), steps.len());
                ("", vec![format!("run {} of {workflow} resumed: {done} of {all} steps done", event.run)])
            }
            EventKind::RunBound { targets, locks } => {
                ("", targets.iter().map(target_line).chain(locks.iter().map(lock_line)).collect())
            }
            EventKind::LockAwaited { lock, holder, workflow, owner } => {
                ("", vec![format!("waiting for lock {lock:?}, held by run {holder} of {workflow} ({owner})")])
            }
            EventKind::StepExpanded { step, instances, dropped } => {
                let expanded = format!("expanded to {}", format::plural(instances.len(), "instance"));
                let dropped = dropped.iter().map(|name| {
                    let text = format!("{name} is no longer in the list; what it has changed remains");
                    paint_err(Tone::Notable, &text)
                });
                (step.as_str(), [expanded].into_iter().chain(dropped).collect())
            }
            EventKind::StepLog { step, line } if line.starts_with(WARNING) && !self.verbose => {
                (step.as_str(), vec![paint_err(Tone::Notable, line)])
            }
            EventKind::StepStarted { .. }
            | EventKind::StepProgress { .. }
            | EventKind::StepLog { .. }
            | EventKind::RunFinished { .. } => {
                return Vec::new();
            }
            EventKind::StepRetrying { step, attempt, error, until } => {
                let delay = format::duration(until.since(event.at));
                let text = format!("attempt {attempt} failed, next attempt in {delay}: {error}");
                (step.as_str(), vec![paint_err(Tone::Notable, &text)])
            }
            EventKind::StepSucceeded { step, changes, found } => (step.as_str(), succeeded(changes, *found)),
            EventKind::StepSkipped { step } => (step.as_str(), vec![paint_err(Tone::Quiet, "skipped")]),
            EventKind::StepFailed { step, error, changes } => (step.as_str(), failed("failed", error, changes)),
            EventKind::StepInDoubt { step, error, changes } => (step.as_str(), failed("in doubt", error, changes)),
            EventKind::ApprovalRequested { step, question } => {
                let asked = paint_err(Tone::Notable, &format!("waiting for approval: {question}"));
                (step.as_str(), vec![asked, paint_err(Tone::Quiet, &hint::approve(&event.run, step))])
            }
            EventKind::StepAnswered { step, by, answer } => (step.as_str(), vec![format::answer_text(by, answer)]),
            EventKind::CancelRequested { by } => {
                ("", vec![format!("cancellation requested by {by}: cancelling running steps")])
            }
            EventKind::FinallyStarted { outcome } => {
                ("", vec![format!("all steps have ended ({}): steps under finally start", outcome.name())])
            }
            EventKind::RunInterrupted => ("", vec!["interrupted".into()]),
        };
        text.iter().map(|text| self.line(event.at, &event.run, step, text)).collect()
    }

    /// Formats one line.
    pub(super) fn line(&self, at: UnixMillis, run: &RunId, step: &str, text: &str) -> String {
        let time = paint_err(Tone::Quiet, &format::time_of_day(at));
        let of = if self.many { format!("{} ", tail(run)) } else { String::new() };
        if step.is_empty() {
            return format!("{time}  {of}{text}");
        }
        let width = self.widths.get(run).copied().unwrap_or_default();
        format!("{time}  {of}{step:width$}  {text}")
    }

    /// Sets the width of the step column to the longest name, up to [`MAX_STEP_WIDTH`].
    fn set_width(&mut self, run: &RunId, steps: &[String]) {
        let longest = steps.iter().map(|step| step.chars().count()).max().unwrap_or_default();
        self.widths.insert(run.clone(), longest.min(MAX_STEP_WIDTH));
    }
}

fn target_line(bound: &BoundTarget) -> String {
    match (&bound.identity, &bound.unidentified) {
        (Some(identity), _) => format!("works on {}", identity.description),
        (None, reason) => {
            let reason = reason.as_deref().unwrap_or_default();
            paint_err(Tone::Notable, &format!("{} is identified when a step uses it: {reason}", bound.target))
        }
    }
}

fn lock_line(bound: &BoundLock) -> String {
    let BoundLock { lock, object, journal_only } = bound;
    match journal_only {
        None => format!("holds lock {lock:?} as {object}"),
        Some(reason) => {
            let text = format!("holds lock {lock:?} in this journal only, until a step reaches {object}: {reason}");
            paint_err(Tone::Notable, &text)
        }
    }
}

/// Describes a success: its changes, or why there are none.
fn succeeded(changes: &[String], found: bool) -> Vec<String> {
    match (changes, found) {
        ([], true) => vec![paint_err(Tone::Good, "succeeded: an earlier attempt had taken effect")],
        ([], false) => vec![paint_err(Tone::Good, "unchanged")],
        (changes, _) => changes.iter().map(|change| changed("changed", change)).collect(),
    }
}

/// Describes a failure: first the changes of its attempts, then the error.
fn failed(word: &str, error: &ActionError, changes: &[String]) -> Vec<String> {
    let why = paint_err(Tone::Bad, &format!("{word}: {error}"));
    let verb = format::change_verb(error);
    changes.iter().map(|change| changed(verb, change)).chain([why]).collect()
}

fn changed(verb: &str, what: &str) -> String {
    format!("{} {}", paint_err(Tone::Notable, verb), format::shorten_resource_ids(what))
}

/// Returns the end of a run id.
fn tail(run: &RunId) -> &str {
    let id = run.as_str();
    &id[id.len().saturating_sub(ID_TAIL_CHARS)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(verbose: bool, kinds: Vec<EventKind>) -> Vec<String> {
        let run = RunId::generate();
        let mut formatter = LineFormatter::new(false, verbose);
        let events = kinds.into_iter().map(|kind| Event { at: UnixMillis(0), run: run.clone(), kind });
        let lines = events.flat_map(|event| formatter.lines(&event)).collect::<Vec<_>>();
        lines.iter().map(|line| line["00:00:00  ".len()..].replace(run.as_str(), "RUN")).collect()
    }

    fn log(line: &str) -> EventKind {
        EventKind::StepLog { step: "a".into(), line: line.into() }
    }

    #[test]
    fn names_are_padded_and_each_change_has_a_line() {
        let steps = vec!["a".into(), "longer".into()];
        let changes = vec!["+ x".into(), "~ y: 1 -> 2".into()];
        let lines = text(
            false,
            vec![
                EventKind::RunStarted { workflow: "w".into(), steps },
                EventKind::StepSucceeded { step: "a".into(), changes, found: false },
                EventKind::StepSucceeded { step: "longer".into(), changes: vec![], found: true },
            ],
        );
        let expected = [
            "run RUN of w: 2 steps",
            "a       changed + x",
            "a       changed ~ y: 1 -> 2",
            "longer  succeeded: an earlier attempt had taken effect",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn changes_of_a_failed_step_are_shown_before_its_error() {
        let failed = |error| EventKind::StepFailed { step: "a".into(), error, changes: vec!["+ x".into()] };
        assert_eq!(text(false, vec![failed(ActionError::permanent("no"))]), ["a  changed + x", "a  failed: no"]);
        let error = ActionError::unknown("no reply");
        let doubt = EventKind::StepInDoubt { step: "a".into(), error, changes: vec!["+ x".into()] };
        assert_eq!(text(false, vec![doubt]), ["a  may have changed + x", "a  in doubt: no reply"]);
    }

    #[test]
    fn a_warning_is_shown_as_it_arrives() {
        assert_eq!(text(false, vec![log("warning: it is cordoned")]), ["a  warning: it is cordoned"]);
        assert_eq!(text(true, vec![log("warning: it is cordoned")]), ["a  | warning: it is cordoned"]);
    }

    #[test]
    fn captured_lines_are_shown_on_failure_or_if_verbose() {
        let failed =
            || EventKind::StepFailed { step: "a".into(), error: ActionError::permanent("no"), changes: vec![] };
        assert_eq!(text(false, vec![log("one\ntwo"), failed()]), ["a  | one", "a  | two", "a  failed: no"]);
        assert_eq!(text(true, vec![log("one"), failed()]), ["a  | one", "a  failed: no"]);
        assert_eq!(text(false, vec![log("one")]), [""; 0]);
    }
}
