use std::collections::HashMap;

use stargate::{
    event::{Event, EventKind},
    id::RunId,
};

use super::{Show, line::LineMaker};
use crate::cli::ui;

/// Plain lines, one after the other: for pipes and files.
pub(super) struct Lines {
    maker: LineMaker,
    /// What each step said last: a step that polls says the same again and again.
    said: HashMap<(RunId, String), String>,
}

impl Lines {
    pub(super) fn new(many: bool, verbose: bool) -> Self {
        Self { maker: LineMaker::new(many, verbose), said: HashMap::new() }
    }

    fn passing(&mut self, event: &Event) {
        let (step, text) = match &event.kind {
            EventKind::StepStarted { step, attempt, find } => (step, started(*attempt, *find)),
            EventKind::StepProgress { step, message } => (step, message.clone()),
            _ => return,
        };
        let said = self.said.entry((event.run.clone(), step.clone())).or_default();
        if *said != text {
            said.clone_from(&text);
            ui::err(&self.maker.line(event.at, &event.run, step, &text));
        }
    }
}

impl Show for Lines {
    fn event(&mut self, event: &Event) {
        self.passing(event);
        for line in self.maker.lines(event) {
            ui::err(&line);
        }
    }
}

fn started(attempt: u32, find: bool) -> String {
    match (attempt, find) {
        (_, true) => "looks whether an earlier attempt took effect".into(),
        (1, false) => "started".into(),
        (attempt, false) => format!("started, attempt {attempt}"),
    }
}
