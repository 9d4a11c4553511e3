//! What is seen of a run while it goes on: a live view on a terminal, lines in a pipe, JSON for programs.

mod feed;
mod json;
mod line;
mod lines;
mod live;
mod log_tail;
mod tally;

pub(crate) use feed::{Feed, Show};
pub(crate) use tally::{Count, Tally};

use super::{args::Output, settings::Settings, ui};

/// Lines, or JSON for programs: for what stays on the screen for days.
pub(crate) fn plain(settings: &Settings, many: bool) -> Box<dyn Show> {
    match settings.output {
        Output::Json => Box::new(json::Json),
        Output::Text => Box::new(lines::Lines::new(many, settings.verbose)),
    }
}

/// The way of showing that fits where the output goes. `many`: several runs share the screen.
pub(crate) fn for_settings(settings: &Settings, many: bool) -> Box<dyn Show> {
    match settings.output {
        Output::Json => Box::new(json::Json),
        Output::Text if ui::is_terminal() => Box::new(live::Live::new(many, settings.verbose)),
        Output::Text => Box::new(lines::Lines::new(many, settings.verbose)),
    }
}
