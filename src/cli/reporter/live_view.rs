//! Live view of running steps on a terminal.
//!
//! Lines of finished events are printed above it and stay; the lines of running steps are redrawn
//! in place.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use stargate::{
    event::{Event, EventKind},
    id::RunId,
};

use super::{EventView, event_line::LineFormatter};
use crate::cli::ui;

/// Minimum duration of a step that gets a line: a shorter one could not be read.
const SHOW_AFTER: Duration = Duration::from_millis(250);

/// View with one line per running step at the end of the terminal, below the lines of finished
/// events.
pub(super) struct LiveView {
    formatter: LineFormatter,
    view: MultiProgress,
    running: HashMap<(RunId, String), StepLine>,
    style: ProgressStyle,
}

/// Running step, with its progress message and its line once it is shown.
struct StepLine {
    /// Start of the attempt, for the elapsed time.
    since: Instant,
    message: String,
    /// Line on the terminal, once the step has run for [`SHOW_AFTER`].
    bar: Option<ProgressBar>,
}

impl LiveView {
    pub(super) fn new(many: bool, verbose: bool) -> Self {
        let view = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        ui::set_live(Some(view.clone()));
        let style = ProgressStyle::with_template("{spinner} {prefix}  {wide_msg} {elapsed}")
            .expect("the template is well-formed")
            .tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ");
        Self { formatter: LineFormatter::new(many, verbose), view, running: HashMap::new(), style }
    }

    /// Records a running step. Its line is added later by [`EventView::frame`].
    fn add_line(&mut self, key: (RunId, String), message: String) {
        self.running.entry(key).or_insert_with(|| StepLine { since: Instant::now(), message, bar: None });
    }

    fn set_message(&mut self, key: &(RunId, String), message: &str) {
        if let Some(running) = self.running.get_mut(key) {
            running.message = message.into();
            if let Some(bar) = &running.bar {
                bar.set_message(ui::live_text(&running.message));
            }
        }
    }

    fn remove_line(&mut self, key: &(RunId, String)) {
        if let Some(StepLine { bar: Some(bar), .. }) = self.running.remove(key) {
            bar.finish_and_clear();
            self.view.remove(&bar);
        }
    }

    /// Updates the running steps for an event.
    fn update(&mut self, event: &Event) {
        let key = |step: &String| (event.run.clone(), step.clone());
        match &event.kind {
            EventKind::StepStarted { step, find, .. } => {
                let message = if *find { "finding out whether an earlier attempt took effect" } else { "" };
                self.add_line(key(step), message.into());
            }
            EventKind::StepProgress { step, message } => self.set_message(&key(step), message),
            EventKind::StepRetrying { step, .. }
            | EventKind::StepSucceeded { step, .. }
            | EventKind::StepSkipped { step }
            | EventKind::StepFailed { step, .. }
            | EventKind::StepInDoubt { step, .. } => self.remove_line(&key(step)),
            EventKind::RunStarted { .. }
            | EventKind::RunResumed { .. }
            | EventKind::RunBound { .. }
            | EventKind::StepExpanded { .. }
            | EventKind::StepLog { .. }
            | EventKind::ApprovalRequested { .. }
            | EventKind::StepAnswered { .. }
            | EventKind::FinallyStarted { .. }
            | EventKind::RunFinished { .. }
            | EventKind::LockAwaited { .. }
            | EventKind::CancelRequested { .. }
            | EventKind::RunInterrupted => {}
        }
    }

    /// Adds a line for a running step to the terminal.
    fn bar(&self, step: &str, running: &StepLine) -> ProgressBar {
        let bar = self.view.add(ProgressBar::new_spinner().with_style(self.style.clone()));
        bar.set_prefix(ui::live_text(step));
        bar.set_message(ui::live_text(&running.message));
        bar.with_elapsed(running.since.elapsed())
    }
}

impl EventView for LiveView {
    fn event(&mut self, event: &Event) {
        self.update(event);
        for line in self.formatter.lines(event) {
            ui::err(&line);
        }
        self.frame();
    }

    fn frame(&mut self) {
        let due = self.running.iter().filter(|(_, r)| r.bar.is_none() && r.since.elapsed() >= SHOW_AFTER);
        let mut due: Vec<_> = due.map(|(key, running)| (running.since, key.clone())).collect();
        due.sort();
        for (_, key) in due {
            let bar = self.running.get(&key).map(|running| self.bar(&key.1, running));
            if let Some(running) = self.running.get_mut(&key) {
                running.bar = bar;
            }
        }
        for bar in self.running.values().filter_map(|running| running.bar.as_ref()) {
            bar.tick();
        }
    }

    fn end(&mut self) {
        ui::set_live(None);
        // If the terminal cannot be cleared, one line remains.
        let _ = self.view.clear();
    }
}
