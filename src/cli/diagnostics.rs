//! Display of errors in workflows, with the underlined source text.

use miette::{GraphicalReportHandler, GraphicalTheme};
use stargate::workflow::Diagnostic;

use super::ui;

/// Prints each error or warning with the underlined source text, on stderr.
pub(crate) fn show<'a>(diagnostics: impl IntoIterator<Item = &'a Diagnostic>) {
    let theme = if ui::colours_err() { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(ui::width_err()).with_context_lines(1);
    for diagnostic in diagnostics {
        ui::err_report(&rendered(&handler, diagnostic));
    }
}

/// Renders one error. If that fails, it returns file, line and message.
fn rendered(handler: &GraphicalReportHandler, diagnostic: &Diagnostic) -> String {
    let mut text = String::new();
    match handler.render_report(&mut text, diagnostic) {
        Ok(()) => text,
        Err(_) => format!("{}:{}: {diagnostic}", diagnostic.source.name(), diagnostic.span.line),
    }
}
