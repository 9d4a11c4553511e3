//! Plain output without control sequences.

use std::collections::HashMap;

use stargate::{
    event::{Event, EventKind},
    id::RunId,
};

use super::{EventView, event_line::LineFormatter};
use crate::cli::ui;

/// View that prints plain lines, for pipes and files.
pub(super) struct PlainView {
    formatter: LineFormatter,
    /// Last progress message of each step. A step that polls reports the same message repeatedly.
    last: HashMap<(RunId, String), String>,
}

impl PlainView {
    pub(super) fn new(many: bool, verbose: bool) -> Self {
        Self { formatter: LineFormatter::new(many, verbose), last: HashMap::new() }
    }

    /// Prints starts and progress, but not the same message twice in a row.
    fn show_progress(&mut self, event: &Event) {
        let (step, text) = match &event.kind {
            EventKind::StepStarted { step, attempt, find } => (step, started(*attempt, *find)),
            EventKind::StepProgress { step, message } => (step, message.clone()),
            _ => return,
        };
        let last = self.last.entry((event.run.clone(), step.clone())).or_default();
        if *last != text {
            last.clone_from(&text);
            ui::err(&self.formatter.line(event.at, &event.run, step, &text));
        }
    }
}

impl EventView for PlainView {
    fn event(&mut self, event: &Event) {
        self.show_progress(event);
        for line in self.formatter.lines(event) {
            ui::err(&line);
        }
    }
}

fn started(attempt: u32, find: bool) -> String {
    match (attempt, find) {
        (_, true) => "finding out whether an earlier attempt took effect".into(),
        (1, false) => "started".into(),
        (attempt, false) => format!("started, attempt {attempt}"),
    }
}
