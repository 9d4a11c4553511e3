use std::collections::BTreeMap;

use stargate::{
    clock::UnixMillis,
    event::{Event, EventKind},
    id::RunId,
};
use stargate_sdk::ActionError;

use super::log_tail::LogTail;
use crate::cli::{
    format, hint,
    ui::{Tone, paint_err},
};

/// Longest name that others are lined up with.
const MAX_STEP_WIDTH: usize = 28;
/// Digits of a run's id that tell it from others on one screen: the random end of a ULID.
const ID_TAIL_CHARS: usize = 4;

/// Makes lines of events: time, step, what happened.
pub(super) struct LineFormatter {
    many: bool,
    verbose: bool,
    log: LogTail,
    widths: BTreeMap<RunId, usize>,
}

impl LineFormatter {
    pub(super) fn new(many: bool, verbose: bool) -> Self {
        Self { many, verbose, log: LogTail::default(), widths: BTreeMap::new() }
    }

    /// The lines that say what lasts of an event; none for what goes by.
    pub(super) fn lines(&mut self, event: &Event) -> Vec<String> {
        let mut lines = self.log_lines(event);
        lines.extend(self.event_lines(event));
        lines
    }

    /// Lines that a step captured: all of them as they come, or only the last ones before a failure.
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

    fn event_lines(&mut self, event: &Event) -> Vec<String> {
        let (step, text) = match &event.kind {
            EventKind::RunStarted { workflow, steps } => {
                self.set_width(&event.run, steps);
                ("", vec![format!("run {} of {workflow}: {}", event.run, format::plural(steps.len(), "step"))])
            }
            EventKind::RunResumed { workflow, steps, done } => {
                self.set_width(&event.run, steps);
                let (done, all) = (done.len(), steps.len());
                ("", vec![format!("run {} of {workflow} goes on: {done} of {all} steps done", event.run)])
            }
            EventKind::LockAwaited { lock, holder, workflow, owner } => {
                ("", vec![format!("waits for the lock {lock:?}: run {holder} of {workflow} holds it ({owner})")])
            }
            EventKind::StepExpanded { step, instances } => {
                (step.as_str(), vec![format!("has {}", format::plural(instances.len(), "part"))])
            }
            EventKind::StepStarted { .. }
            | EventKind::StepProgress { .. }
            | EventKind::StepLog { .. }
            | EventKind::RunFinished { .. } => {
                return Vec::new();
            }
            EventKind::StepRetrying { step, attempt, error, until } => {
                let pause = format::duration(until.since(event.at));
                let text = format!("attempt {attempt} failed, again in {pause}: {error}");
                (step.as_str(), vec![paint_err(Tone::Notable, &text)])
            }
            EventKind::StepSucceeded { step, changes, found } => (step.as_str(), succeeded(changes, *found)),
            EventKind::StepSkipped { step } => (step.as_str(), vec![paint_err(Tone::Quiet, "skipped")]),
            EventKind::StepFailed { step, error, changes } => (step.as_str(), failed("failed", error, changes)),
            EventKind::StepInDoubt { step, error, changes } => (step.as_str(), failed("in doubt", error, changes)),
            EventKind::ApprovalRequested { step, question } => {
                let asked = paint_err(Tone::Notable, &format!("needs approval: {question}"));
                (step.as_str(), vec![asked, paint_err(Tone::Quiet, &hint::approve(&event.run, step))])
            }
            EventKind::StepAnswered { step, by, answer } => (step.as_str(), vec![format::answer_text(by, answer)]),
            EventKind::CancelRequested { by } => {
                ("", vec![format!("cancelled by {by}: starting nothing more and letting go of what is being done")])
            }
            EventKind::RunInterrupted => ("", vec!["interrupted".into()]),
        };
        text.iter().map(|text| self.line(event.at, &event.run, step, text)).collect()
    }

    /// One line: time, step, text.
    pub(super) fn line(&self, at: UnixMillis, run: &RunId, step: &str, text: &str) -> String {
        let time = paint_err(Tone::Quiet, &format::time_of_day(at));
        let of = if self.many { format!("{} ", tail(run)) } else { String::new() };
        if step.is_empty() {
            return format!("{time}  {of}{text}");
        }
        let width = self.widths.get(run).copied().unwrap_or_default();
        format!("{time}  {of}{step:width$}  {text}")
    }

    fn set_width(&mut self, run: &RunId, steps: &[String]) {
        let longest = steps.iter().map(|step| step.chars().count()).max().unwrap_or_default();
        self.widths.insert(run.clone(), longest.min(MAX_STEP_WIDTH));
    }
}

fn succeeded(changes: &[String], found: bool) -> Vec<String> {
    match (changes, found) {
        ([], true) => vec![paint_err(Tone::Good, "was done already: an earlier attempt had taken effect")],
        ([], false) => vec![paint_err(Tone::Good, "in order")],
        (changes, _) => changes.iter().map(|change| changed("changed", change)).collect(),
    }
}

fn failed(word: &str, error: &ActionError, changes: &[String]) -> Vec<String> {
    let why = paint_err(Tone::Bad, &format!("{word}: {error}"));
    let verb = format::change_verb(error);
    changes.iter().map(|change| changed(verb, change)).chain([why]).collect()
}

fn changed(verb: &str, what: &str) -> String {
    format!("{} {}", paint_err(Tone::Notable, verb), format::shorten_resource_ids(what))
}

/// The end of a run's id.
fn tail(run: &RunId) -> &str {
    let id = run.as_str();
    &id[id.len().saturating_sub(ID_TAIL_CHARS)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(verbose: bool, news: Vec<EventKind>) -> Vec<String> {
        let run = RunId::generate();
        let mut formatter = LineFormatter::new(false, verbose);
        let events = news.into_iter().map(|news| Event { at: UnixMillis(0), run: run.clone(), kind: news });
        let lines = events.flat_map(|event| formatter.lines(&event)).collect::<Vec<_>>();
        lines.iter().map(|line| line["00:00:00  ".len()..].replace(run.as_str(), "RUN")).collect()
    }

    fn log(line: &str) -> EventKind {
        EventKind::StepLog { step: "a".into(), line: line.into() }
    }

    #[test]
    fn names_are_lined_up_and_every_change_has_a_line() {
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
            "longer  was done already: an earlier attempt had taken effect",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn what_a_step_that_failed_has_changed_or_may_have_is_shown_before_why() {
        let failed = |error| EventKind::StepFailed { step: "a".into(), error, changes: vec!["+ x".into()] };
        assert_eq!(text(false, vec![failed(ActionError::permanent("no"))]), ["a  changed + x", "a  failed: no"]);
        let error = ActionError::unknown("no reply");
        let doubt = EventKind::StepInDoubt { step: "a".into(), error, changes: vec!["+ x".into()] };
        assert_eq!(text(false, vec![doubt]), ["a  may have changed + x", "a  in doubt: no reply"]);
    }

    #[test]
    fn what_a_step_captured_is_shown_when_it_fails_or_when_it_is_asked_for() {
        let failed =
            || EventKind::StepFailed { step: "a".into(), error: ActionError::permanent("no"), changes: vec![] };
        assert_eq!(text(false, vec![log("one\ntwo"), failed()]), ["a  | one", "a  | two", "a  failed: no"]);
        assert_eq!(text(true, vec![log("one"), failed()]), ["a  | one", "a  failed: no"]);
        assert_eq!(text(false, vec![log("one")]), [""; 0]);
    }
}
