//! Views of running runs: a live view on a terminal, plain lines in a pipe, JSON for programs.

mod adapter;
mod event_line;
mod json;
mod live_model;
mod live_view;
mod log_tail;
mod plain;
mod summary;

pub(crate) use adapter::{EventView, ReporterAdapter};
pub(crate) use summary::{RunCounts, Summary};

use std::time::Duration;

use super::{
    args::Output,
    settings::{Settings, TerminalKind},
    ui,
};

/// Returns a view for output that is kept, such as that of a service: plain lines or JSON.
pub(crate) fn plain(settings: &Settings, many: bool) -> Box<dyn EventView> {
    match settings.output {
        Output::Json => Box::new(json::JsonView),
        Output::Text => Box::new(plain::PlainView::new(many, settings.verbose)),
    }
}

/// Returns a view as text on stderr, whatever the format of the data on stdout.
pub(crate) fn for_people(settings: &Settings) -> Box<dyn EventView> {
    text(settings, false, None)
}

/// Returns the view that fits the output. With `many`, lines name their run. `estimate` is the
/// usual duration of the workflow, if it is known.
pub(crate) fn for_settings(settings: &Settings, many: bool, estimate: Option<Duration>) -> Box<dyn EventView> {
    match settings.output {
        Output::Json => Box::new(json::JsonView),
        Output::Text => text(settings, many, estimate),
    }
}

/// Returns a live view on a terminal that can be redrawn, and plain lines otherwise.
fn text(settings: &Settings, many: bool, estimate: Option<Duration>) -> Box<dyn EventView> {
    if ui::is_terminal() && settings.terminal == TerminalKind::Redrawable {
        Box::new(live_view::LiveView::new(many, settings.verbose, estimate))
    } else {
        Box::new(plain::PlainView::new(many, settings.verbose))
    }
}
