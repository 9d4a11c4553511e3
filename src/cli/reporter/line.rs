use std::collections::BTreeMap;

use stargate::{
    clock::Millis,
    event::{Event, News},
    id::RunId,
};

use crate::cli::{
    phrase,
    ui::{Tone, paint_err},
};

/// Longest name that others are lined up with.
const WIDEST: usize = 28;
/// Digits of a run's id that tell it from others on one screen: the random end of a ULID.
const TAIL: usize = 4;

/// Makes lines of events: time, step, what happened.
pub(super) struct LineMaker {
    many: bool,
    widths: BTreeMap<RunId, usize>,
}

impl LineMaker {
    pub(super) fn new(many: bool) -> Self {
        Self { many, widths: BTreeMap::new() }
    }

    /// The lines that say what lasts of an event; none for what goes by.
    pub(super) fn lines(&mut self, event: &Event) -> Vec<String> {
        let (step, said) = match &event.news {
            News::RunStarted { workflow, steps } => {
                self.line_up(&event.run, steps);
                ("", vec![format!("run {} of {workflow}: {}", event.run, phrase::count(steps.len(), "step"))])
            }
            News::RunResumed { workflow, steps, done } => {
                self.line_up(&event.run, steps);
                let done = done.iter().filter(|step| steps.contains(step)).count();
                ("", vec![format!("run {} of {workflow} goes on: {done} of {} steps done", event.run, steps.len())])
            }
            News::StepExpanded { step, instances } => {
                (step.as_str(), vec![format!("has {}", phrase::count(instances.len(), "part"))])
            }
            News::StepStarted { .. } | News::StepProgress { .. } | News::StepLog { .. } | News::RunFinished { .. } => {
                return Vec::new();
            }
            News::StepRetrying { step, attempt, error, until } => {
                let pause = phrase::duration(until.since(event.at));
                let said = format!("attempt {attempt} failed, again in {pause}: {error}");
                (step.as_str(), vec![paint_err(Tone::Notable, &said)])
            }
            News::StepSucceeded { step, changes, found } => (step.as_str(), succeeded(changes, *found)),
            News::StepSkipped { step } => (step.as_str(), vec![paint_err(Tone::Quiet, "skipped")]),
            News::StepFailed { step, error } => {
                (step.as_str(), vec![paint_err(Tone::Bad, &format!("failed: {error}"))])
            }
            News::StepInDoubt { step, error } => {
                (step.as_str(), vec![paint_err(Tone::Bad, &format!("in doubt: {error}"))])
            }
            News::RunInterrupted => ("", vec!["interrupted".into()]),
        };
        said.iter().map(|text| self.line(event.at, &event.run, step, text)).collect()
    }

    /// One line: time, step, text.
    pub(super) fn line(&self, at: Millis, run: &RunId, step: &str, text: &str) -> String {
        let time = paint_err(Tone::Quiet, &phrase::time_of_day(at));
        let of = if self.many { format!("{} ", tail(run)) } else { String::new() };
        if step.is_empty() {
            return format!("{time}  {of}{text}");
        }
        let width = self.widths.get(run).copied().unwrap_or_default();
        format!("{time}  {of}{step:width$}  {text}")
    }

    fn line_up(&mut self, run: &RunId, steps: &[String]) {
        let longest = steps.iter().map(|step| step.chars().count()).max().unwrap_or_default();
        self.widths.insert(run.clone(), longest.min(WIDEST));
    }
}

fn succeeded(changes: &[String], found: bool) -> Vec<String> {
    match (changes, found) {
        ([], true) => vec![paint_err(Tone::Good, "was done already: an earlier attempt had taken effect")],
        ([], false) => vec![paint_err(Tone::Good, "in order")],
        (changes, _) => {
            changes.iter().map(|change| format!("{} {change}", paint_err(Tone::Notable, "changed"))).collect()
        }
    }
}

/// The end of a run's id.
fn tail(run: &RunId) -> &str {
    let id = run.as_str();
    &id[id.len().saturating_sub(TAIL)..]
}
