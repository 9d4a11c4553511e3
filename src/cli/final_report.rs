use std::time::Duration;

use serde_json::{Value, json};
use stargate::{
    engine::{Ending, Question, RunReport},
    run::{ObservedStatus, Outcome, StateName},
};

use super::{
    args::Output,
    exit::Exit,
    format, hint,
    reporter::{RunCounts, Summary},
    ui::{self, Tone},
};

/// What is left to be said when the engine has left a run.
struct FinalReport {
    finished: RunReport,
    count: RunCounts,
    /// Whether it was left because its time was over.
    timed_out: bool,
}

/// Says what came of a run, given what was counted on the way and whether its time was over, and what the process says at
/// its end.
pub(crate) fn conclude(output: Output, finished: RunReport, summary: &Summary, timed_out: bool) -> Exit {
    let count = summary.of(&finished.run);
    let report = FinalReport { finished, count, timed_out };
    report.show(output);
    report.exit()
}

impl FinalReport {
    fn exit(&self) -> Exit {
        match self.finished.ending {
            Ending::Finished(Outcome::Succeeded) => Exit::Success,
            Ending::Finished(Outcome::Failed) => Exit::Failed,
            Ending::Finished(Outcome::InDoubt) => Exit::InDoubt,
            Ending::Finished(Outcome::AwaitingApproval) => Exit::WaitingForApproval,
            Ending::Finished(Outcome::Cancelled) => Exit::Cancelled,
            Ending::Interrupted if self.timed_out => Exit::TimedOut,
            Ending::Interrupted => Exit::Interrupted,
        }
    }

    /// Prints it: outputs are data, all else is for people.
    fn show(&self, output: Output) {
        match output {
            Output::Json => ui::out_json(&self.to_json()),
            Output::Text => self.show_text(),
        }
    }

    fn show_text(&self) {
        for (step, error) in &self.finished.failures {
            ui::err(&format!("{} {step}: {error}", ui::paint_err(Tone::Bad, self.label(step))));
            if let Some(hint) = &error.hint {
                ui::hint(hint);
            }
        }
        for (step, question) in self.questions() {
            ui::err(&format!("{} {step}: {question}", ui::paint_err(Tone::Notable, "approval:")));
        }
        ui::err(&self.last_line());
        for (name, value) in &self.finished.outputs {
            ui::out(&format!("{name}: {}", plain(value)));
        }
        if let Some(hint) = self.hint() {
            ui::hint(&hint);
        }
    }

    fn label(&self, step: &str) -> &'static str {
        let doubted = self.finished.questions.iter().any(|(name, ask)| name == step && *ask == Question::TookEffect);
        if doubted { "in doubt:" } else { "failed:" }
    }

    fn questions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.finished.questions.iter().filter_map(|(step, ask)| match ask {
            Question::Approval(question) => Some((step.as_str(), question.as_str())),
            Question::TookEffect => None,
        })
    }

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

    /// What changed in the whole run; how much of it here, if it began elsewhere.
    fn changes(&self) -> String {
        match (self.finished.changed, self.count.changed) {
            (false, _) => "nothing changed".into(),
            (true, 0) => "nothing changed since it was resumed".into(),
            (true, steps) => format!("{} changed something", format::plural(steps, "step")),
        }
    }

    /// Returns the name of the ending; `None` if the command's time limit expired.
    fn ending_name(&self) -> Option<StateName> {
        match self.finished.ending {
            Ending::Finished(outcome) => Some(outcome.name()),
            Ending::Interrupted if self.timed_out => None,
            Ending::Interrupted => Some(ObservedStatus::Interrupted.name()),
        }
    }

    fn word(&self) -> String {
        self.ending_name().map_or_else(|| "timed out".into(), |name| name.to_string())
    }

    fn duration(&self) -> Duration {
        self.count.latest.since(self.count.started)
    }

    fn hint(&self) -> Option<String> {
        let run = &self.finished.run;
        match self.finished.ending {
            Ending::Finished(Outcome::Succeeded) => None,
            Ending::Finished(Outcome::Failed) | Ending::Interrupted => Some(hint::resume(run)),
            Ending::Finished(Outcome::InDoubt | Outcome::AwaitingApproval) => Some(self.answer_hint()),
            Ending::Finished(Outcome::Cancelled) => Some(hint::history(run)),
        }
    }

    fn answer_hint(&self) -> String {
        let run = &self.finished.run;
        match self.finished.questions.first() {
            Some((step, Question::Approval(_))) => hint::then_resume(&hint::approve(run, step), run),
            Some((step, Question::TookEffect)) => hint::then_resume(&hint::resolve(run, step), run),
            None => hint::history(run),
        }
    }

    fn to_json(&self) -> Value {
        let asks: Vec<_> = self.finished.questions.iter().map(|(step, ask)| ask_json(step, ask)).collect();
        let failures: Vec<_> =
            self.finished.failures.iter().map(|(step, error)| json!({ "step": step, "error": error })).collect();
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
            "failures": failures,
            "asks": asks,
            "exit": self.exit().code(),
            "hint": self.hint(),
        })
    }
}

fn ask_json(step: &str, ask: &Question) -> Value {
    match ask {
        Question::Approval(question) => json!({ "step": step, "asks": "approval", "question": question }),
        Question::TookEffect => json!({ "step": step, "asks": "whether_it_took_effect" }),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
