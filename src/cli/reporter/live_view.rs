//! Live view of running runs on a terminal.
//!
//! Lines of finished events are printed above it and stay; the lines of [`LiveModel`] are redrawn
//! in place.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use stargate::event::Event;

use super::{EventView, event_line::LineFormatter, live_model::LiveModel};
use crate::cli::ui;

/// View with the state of the runs at the end of the terminal, below the lines of finished events.
pub(super) struct LiveView {
    formatter: LineFormatter,
    model: LiveModel,
    view: MultiProgress,
    /// Area of the lines, once there are some.
    area: Option<ProgressBar>,
}

impl LiveView {
    pub(super) fn new(many: bool, verbose: bool, estimate: Option<Duration>) -> Self {
        let view = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        ui::set_live(Some(view.clone()));
        Self { formatter: LineFormatter::new(many, verbose), model: LiveModel::new(estimate), view, area: None }
    }

    /// Draws the lines, or removes them if there are none.
    fn draw(&mut self, lines: &[String]) {
        if lines.is_empty() {
            if let Some(area) = self.area.take() {
                area.finish_and_clear();
                self.view.remove(&area);
            }
            return;
        }
        let area = self.area.get_or_insert_with(|| {
            let style = ProgressStyle::with_template("{msg}").expect("the template is well-formed");
            self.view.add(ProgressBar::new_spinner().with_style(style))
        });
        area.set_message(lines.join("\n"));
        area.tick();
    }
}

impl EventView for LiveView {
    fn event(&mut self, event: &Event) {
        self.model.update(event, Instant::now());
        for line in self.formatter.lines(event) {
            ui::err(&line);
        }
        self.frame();
    }

    fn frame(&mut self) {
        let lines = self.model.lines(Instant::now(), ui::terminal_size());
        self.draw(&lines);
    }

    fn end(&mut self) {
        self.draw(&[]);
        ui::set_live(None);
        // If the terminal cannot be cleared, its last lines remain.
        let _ = self.view.clear();
    }
}
