//! Plain output without control sequences.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use stargate::{
    clock::Clock,
    event::{Event, EventKind},
    id::RunId,
};

use super::{EventView, event_line::LineFormatter, live_model::LiveModel};
use crate::cli::ui;

/// Time without a line after which a line names the running steps.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// View that prints plain lines, for pipes and files.
pub(super) struct PlainView {
    formatter: LineFormatter,
    model: LiveModel,
    /// Last progress message of each step. A step that polls reports the same message repeatedly.
    last: HashMap<(RunId, String), String>,
    /// Time of the last line.
    quiet_since: Instant,
}

impl PlainView {
    pub(super) fn new(many: bool, verbose: bool) -> Self {
        let formatter = LineFormatter::new(many, verbose);
        Self { formatter, model: LiveModel::new(None), last: HashMap::new(), quiet_since: Instant::now() }
    }

    fn print(&mut self, line: &str) {
        ui::err(line);
        self.quiet_since = Instant::now();
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
            let line = self.formatter.line(event.at, &event.run, step, &text);
            self.print(&line);
        }
    }

    /// Prints what is running, if there was no line for [`HEARTBEAT`].
    fn show_heartbeat(&mut self) {
        let now = Instant::now();
        if now.saturating_duration_since(self.quiet_since) < HEARTBEAT {
            return;
        }
        for (run, text) in self.model.heartbeats(now) {
            let line = self.formatter.line(Clock::system().now(), &run, "", &text);
            self.print(&line);
        }
    }
}

impl EventView for PlainView {
    fn event(&mut self, event: &Event) {
        self.model.update(event, Instant::now());
        self.show_progress(event);
        for line in self.formatter.lines(event) {
            self.print(&line);
        }
        self.show_heartbeat();
    }

    fn frame(&mut self) {
        self.show_heartbeat();
    }
}

fn started(attempt: u32, find: bool) -> String {
    match (attempt, find) {
        (_, true) => "finding out whether an earlier attempt took effect".into(),
        (1, false) => "started".into(),
        (attempt, false) => format!("started, attempt {attempt}"),
    }
}
