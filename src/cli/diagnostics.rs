use miette::{GraphicalReportHandler, GraphicalTheme};
use stargate::workflow::{Diagnostic, Diagnostics};

use super::ui;

/// Prints every mistake with the text that it is about.
pub(crate) fn show(diagnostics: &Diagnostics) {
    let theme = if ui::colours_err() { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(ui::width_err()).with_context_lines(1);
    for diagnostic in diagnostics {
        ui::err(&rendered(&handler, diagnostic));
    }
}

fn rendered(handler: &GraphicalReportHandler, diagnostic: &Diagnostic) -> String {
    let mut text = String::new();
    match handler.render_report(&mut text, diagnostic) {
        Ok(()) => text,
        Err(_) => format!("{}:{}: {diagnostic}", diagnostic.source.name(), diagnostic.span.line),
    }
}
