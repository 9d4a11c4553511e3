//! Report of a run at the end of a command.
//!
//! On a terminal it ends with a line for each group of step instances, one line that sums the run
//! up, and the next command. JSON: `{event: "result", run, workflow, outcome, changed, steps_done,
//! steps, duration_ms, outputs, failures, warnings, questions, groups, step_warnings, slowest,
//! exit, hint}`.

use std::time::Duration;

use serde_json::{Value, json};
use stargate::{
    engine::{Ending, GroupReport, Question, RunReport},
    run::{ObservedStatus, Outcome, StateName},
};
use stargate_sdk::{ActionError, FailureKind};

use super::{
    args::Output,
    exit::Exit,
    format, hint,
    reporter::{RunCounts, Summary},
    ui::{self, Tone},
};

/// Number of warnings that are shown.
const MAX_SHOWN_WARNINGS: usize = 10;
/// Number of steps that are named as the slowest ones.
const SLOWEST: usize = 3;
/// Minimum duration of a step because of which the slowest ones are named: a user has waited for
/// it.
const LONG: Duration = Duration::from_secs(5);
/// Number of unchanged groups that are named.
const LISTED: usize = 3;

/// Result of a run, as the last output of a command.
struct FinalReport {
    finished: RunReport,
    count: RunCounts,
    /// The run was stopped because the command exceeded its timeout.
    timed_out: bool,
}

/// Prints the result of a run and returns the exit code.
///
/// `summary` contains the counts of this process, and `timed_out` tells a timeout from an
/// interrupt.
pub(crate) fn conclude(output: Output, finished: RunReport, summary: &Summary, timed_out: bool) -> Exit {
    let count = summary.of(&finished.run);
    let report = FinalReport { finished, count, timed_out };
    report.show(output);
    report.exit()
}

impl FinalReport {
    /// Returns the exit code for the way in which the run ended.
    fn exit(&self) -> Exit {
        exit_of(self.finished.ending, self.timed_out)
    }

    /// Prints the report: workflow outputs on stdout, everything else on stderr; with `--output
    /// json`, one event on stdout.
    fn show(&self, output: Output) {
        match output {
            Output::Json => ui::out_json(&self.to_json()),
            Output::Text => self.show_text(),
        }
    }

    /// Prints errors, open questions, the last line, outputs and the hint.
    fn show_text(&self) {
        for (step, error) in &self.finished.warnings {
            let label = ui::paint_err(Tone::Notable, "warning:");
            ui::err(&format!("{label} {step} failed, which the workflow allows: {error}"));
        }
        for (step, error) in &self.finished.failures {
            ui::err(&format!("{} {step}: {error}", ui::paint_err(Tone::Bad, self.label(step))));
            if let Some(hint) = &error.hint {
                ui::hint(hint);
            }
        }
        for (step, question) in self.questions() {
            ui::err(&format!("{} {step}: {question}", ui::paint_err(Tone::Notable, "approval:")));
        }
        self.warning_lines().iter().for_each(|line| ui::err(line));
        self.group_lines().iter().for_each(|line| ui::err(line));
        self.slowest_line().iter().for_each(|line| ui::err(line));
        ui::err(&self.last_line());
        for (name, value) in self.finished.outputs.iter() {
            ui::out(&format!("{name}: {}", plain(value)));
        }
        if let Some(hint) = self.hint() {
            ui::hint(&hint);
        }
    }

    /// Returns the word in front of a step's error.
    fn label(&self, step: &str) -> &'static str {
        let in_doubt = self.finished.questions.iter().any(|(name, ask)| name == step && *ask == Question::TookEffect);
        if in_doubt { "in doubt:" } else { "failed:" }
    }

    /// Iterates over the steps that wait for approval, with the text of each approval.
    fn questions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.finished.questions.iter().filter_map(|(step, ask)| match ask {
            Question::Approval(question) => Some((step.as_str(), question.as_str())),
            Question::TookEffect => None,
        })
    }

    /// Returns a line for each group in which something was changed or not done, and one for the
    /// other groups. Empty if nothing was changed and everything was done.
    fn group_lines(&self) -> Vec<String> {
        let (quiet, notable): (Vec<_>, Vec<_>) =
            self.finished.groups.iter().partition(|group| group_is_unchanged(group));
        let mut lines: Vec<String> = notable.iter().map(|group| self.group_line(group)).collect();
        if !lines.is_empty() && !quiet.is_empty() {
            let names: Vec<&str> = quiet.iter().take(LISTED).map(|group| group.name.as_str()).collect();
            let more = if quiet.len() > LISTED { format!(" and {} more", quiet.len() - LISTED) } else { String::new() };
            lines.push(format!("{}{more}: everything was in order", names.join(", ")));
        }
        lines
    }

    /// Returns the line of one group, such as `site lyon: 3 of 9 steps done, 1 failed, 5 not run:
    /// kernel[r1]: cannot connect`.
    fn group_line(&self, group: &GroupReport) -> String {
        let total = group.done + group.failed.len() + group.not_run.len();
        let mut parts = vec![format!("{} of {} done", group.done, format::plural(total, "step"))];
        let counts = [(&group.changed, "changed"), (&group.failed, "failed"), (&group.not_run, "not run")];
        parts.extend(
            counts.iter().filter(|(steps, _)| !steps.is_empty()).map(|(steps, word)| format!("{} {word}", steps.len())),
        );
        let reason = group.failed.first().and_then(|step| Some((step, self.error(step)?)));
        let reason = reason.map(|(step, error)| format!(": {step}: {error}")).unwrap_or_default();
        let tone = if total == group.done { Tone::Good } else { Tone::Bad };
        format!("{}: {}{reason}", ui::paint_err(tone, &group.name), parts.join(", "))
    }

    /// Returns the error of a step that has failed.
    fn error(&self, step: &str) -> Option<&ActionError> {
        self.finished.failures.iter().find(|(name, _)| name == step).map(|(_, error)| error)
    }

    /// Returns a line for each warning of a step, [`MAX_SHOWN_WARNINGS`] at most.
    fn warning_lines(&self) -> Vec<String> {
        let warnings = &self.count.warnings;
        let label = ui::paint_err(Tone::Notable, "warning:");
        let shown = warnings.iter().take(MAX_SHOWN_WARNINGS);
        let mut lines: Vec<_> = shown.map(|(step, text)| format!("{label} {step}: {text}")).collect();
        if warnings.len() > lines.len() {
            lines.push(format!(
                "{label} … and {} more: `stargate logs {}`",
                warnings.len() - lines.len(),
                self.finished.run
            ));
        }
        lines
    }

    /// Returns the steps that took the longest; `None` if no step took long.
    fn slowest_line(&self) -> Option<String> {
        let slowest = self.count.slowest(SLOWEST);
        slowest.first().filter(|(_, duration)| *duration >= LONG)?;
        let steps: Vec<_> = slowest.iter().map(|(step, time)| format!("{step} {}", format::duration(*time))).collect();
        Some(ui::paint_err(Tone::Quiet, &format!("slowest steps: {}", steps.join(", "))))
    }

    /// Returns the line that sums the run up, such as `machine succeeded after 2.4s: 3 of 3 steps
    /// done, …`.
    fn last_line(&self) -> String {
        let RunCounts { workflow, done_before, done, total, .. } = &self.count;
        let word = match self.exit() {
            Exit::Success => ui::paint_err(Tone::Good, &self.word()),
            Exit::WaitingForApproval => ui::paint_err(Tone::Notable, &self.word()),
            _ => ui::paint_err(Tone::Bad, &self.word()),
        };
        let name = if workflow.is_empty() { "run" } else { workflow };
        let steps = format!("{} of {} done", done_before + done, format::plural(*total, "step"));
        let duration = format::duration(self.duration());
        format!("{name} {word} after {duration}: {steps}, {} ({})", self.changes(), self.finished.run)
    }

    /// Counts the steps that changed something in this process. A resumed run may have changed
    /// something before.
    fn changes(&self) -> String {
        match (self.finished.changed, self.count.changed) {
            (false, _) => "no changes".into(),
            (true, 0) => "no changes since it was resumed".into(),
            (true, steps) => format!("{} changed", format::plural(steps, "step")),
        }
    }

    /// Returns the name of the ending; `None` if the command exceeded its timeout.
    fn ending_name(&self) -> Option<StateName> {
        match self.finished.ending {
            Ending::Finished(outcome) => Some(outcome.name()),
            Ending::Interrupted if self.timed_out => None,
            Ending::Interrupted => Some(ObservedStatus::Interrupted.name()),
        }
    }

    /// Returns the outcome in words.
    fn word(&self) -> String {
        self.ending_name().map_or_else(|| "timed out".into(), |name| name.to_string())
    }

    /// Returns the time from the start of the run in this process to its last event.
    fn duration(&self) -> Duration {
        self.count.latest.since(self.count.started)
    }

    /// Returns the next command, or `None` after success.
    fn hint(&self) -> Option<String> {
        let run = &self.finished.run;
        match self.finished.ending {
            Ending::Finished(Outcome::Succeeded) => None,
            Ending::Finished(Outcome::Failed) if self.needs_other_inputs() => {
                Some(hint::run_again(&self.count.workflow, run))
            }
            Ending::Finished(Outcome::Failed) | Ending::Interrupted => Some(hint::resume(run)),
            Ending::Finished(Outcome::InDoubt | Outcome::AwaitingApproval) => Some(self.answer_hint()),
            Ending::Finished(Outcome::Cancelled) => Some(hint::history(run)),
        }
    }

    /// True if a step has failed in a way that the same inputs cannot avoid.
    fn needs_other_inputs(&self) -> bool {
        self.finished.failures.iter().any(|(_, error)| error.kind == FailureKind::Permanent)
    }

    /// Returns the command that answers the first open question.
    fn answer_hint(&self) -> String {
        let run = &self.finished.run;
        match self.finished.questions.first() {
            Some((step, Question::Approval(_))) => hint::then_resume(&hint::approve(run, step), run),
            Some((step, Question::TookEffect)) => hint::then_resume(&hint::resolve(run, step), run),
            None => hint::history(run),
        }
    }

    /// Returns the report as the event `result`. `steps` and `steps_done` count all processes,
    /// `duration_ms` this one.
    fn to_json(&self) -> Value {
        let questions: Vec<_> = self.finished.questions.iter().map(|(step, ask)| question_json(step, ask)).collect();
        json!({
            "event": "result",
            "run": self.finished.run,
            "workflow": self.count.workflow,
            "outcome": self.ending_name().map_or("timed_out", StateName::as_str),
            "changed": self.finished.changed,
            "steps_done": self.count.done_before + self.count.done,
            "steps": self.count.total,
            "duration_ms": u64::try_from(self.duration().as_millis()).unwrap_or(u64::MAX),
            "outputs": self.finished.outputs,
            "failures": failures_json(&self.finished.failures),
            "warnings": failures_json(&self.finished.warnings),
            "questions": questions,
            "groups": self.finished.groups.iter().map(group_json).collect::<Vec<_>>(),
            "step_warnings": self.count.warnings.iter().map(|(step, text)| json!({ "step": step, "text": text })).collect::<Vec<_>>(),
            "slowest": self.count.slowest(SLOWEST).into_iter().map(slow_json).collect::<Vec<_>>(),
            "exit": self.exit().code(),
            "hint": self.hint(),
        })
    }
}

/// Returns the exit code for the way in which a run ended; `timed_out` tells a timeout from an
/// interrupt.
pub(crate) fn exit_of(ending: Ending, timed_out: bool) -> Exit {
    match ending {
        Ending::Finished(Outcome::Succeeded) => Exit::Success,
        Ending::Finished(Outcome::Failed) => Exit::Failed,
        Ending::Finished(Outcome::InDoubt) => Exit::InDoubt,
        Ending::Finished(Outcome::AwaitingApproval) => Exit::WaitingForApproval,
        Ending::Finished(Outcome::Cancelled) => Exit::Cancelled,
        Ending::Interrupted if timed_out => Exit::TimedOut,
        Ending::Interrupted => Exit::Interrupted,
    }
}

/// Returns the exit code for the status in which another process has left a run.
pub(crate) fn exit_of_status(status: ObservedStatus) -> Exit {
    match status {
        ObservedStatus::Running => Exit::Success,
        ObservedStatus::Interrupted => exit_of(Ending::Interrupted, false),
        ObservedStatus::Finished(outcome) => exit_of(Ending::Finished(outcome), false),
    }
}

/// Returns errors of a run, each with its step.
pub(crate) fn failures_json(failures: &[(String, ActionError)]) -> Value {
    failures.iter().map(|(step, error)| json!({ "step": step, "error": error })).collect()
}

/// True if all steps of a group were done and none has changed anything.
fn group_is_unchanged(group: &GroupReport) -> bool {
    group.changed.is_empty() && group.failed.is_empty() && group.not_run.is_empty()
}

/// Returns the results of a group: the number of steps that were done, and the names of all others
/// and of those that have changed something.
fn group_json(group: &GroupReport) -> Value {
    let GroupReport { name, done, changed, failed, not_run } = group;
    json!({ "name": name, "done": done, "changed": changed, "failed": failed, "not_run": not_run })
}

/// Returns a step with its duration.
fn slow_json((step, duration): (&str, Duration)) -> Value {
    json!({ "step": step, "duration_ms": u64::try_from(duration.as_millis()).unwrap_or(u64::MAX) })
}

/// Returns an open question: `kind` is `approval`, with the text of the approval, or `in_doubt`.
fn question_json(step: &str, question: &Question) -> Value {
    match question {
        Question::Approval(text) => json!({ "step": step, "kind": "approval", "question": text }),
        Question::TookEffect => json!({ "step": step, "kind": "in_doubt" }),
    }
}

/// Returns a value as text, strings without quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
