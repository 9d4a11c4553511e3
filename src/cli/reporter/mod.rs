//! What is seen of a run while it goes on: a live view on a terminal, lines in a pipe, JSON for programs.

mod adapter;
mod event_line;
mod json;
mod live_view;
mod log_tail;
mod plain;
mod summary;

pub(crate) use adapter::{EventView, ReporterAdapter};
pub(crate) use summary::{RunCounts, Summary};

use super::{args::Output, settings::Settings, ui};

/// Lines, or JSON for programs: for what stays on the screen for days.
pub(crate) fn plain(settings: &Settings, many: bool) -> Box<dyn EventView> {
    match settings.output {
        Output::Json => Box::new(json::JsonView),
        Output::Text => Box::new(plain::PlainView::new(many, settings.verbose)),
    }
}

/// The way of showing that fits where the output goes. `many`: several runs share the screen.
pub(crate) fn for_settings(settings: &Settings, many: bool) -> Box<dyn EventView> {
    match settings.output {
        Output::Json => Box::new(json::JsonView),
        Output::Text if ui::is_terminal() => Box::new(live_view::LiveView::new(many, settings.verbose)),
        Output::Text => Box::new(plain::PlainView::new(many, settings.verbose)),
    }
}
