//! Display of errors in workflows, with the underlined source text.

use miette::{GraphicalReportHandler, GraphicalTheme};
use stargate::workflow::{Diagnostic, Severity};

use super::ui;

/// Number of errors that are displayed; the others are counted.
const SHOWN: usize = 100;
/// Longest line that is displayed whole, in bytes. Of a longer one, only the part around the error
/// is.
const LONG_LINE: usize = 400;
/// Number of characters that are displayed before and after the start of an error in a long line.
const AROUND: usize = 50;

/// Prints each error or warning with the underlined source text, on stderr: at most [`SHOWN`], and
/// the number of the others.
pub(crate) fn show<'a>(diagnostics: impl IntoIterator<Item = &'a Diagnostic>) {
    let theme = if ui::colours_err() { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(ui::width_err()).with_context_lines(1);
    let mut diagnostics = diagnostics.into_iter();
    for diagnostic in diagnostics.by_ref().take(SHOWN) {
        ui::err_report(&rendered(&handler, diagnostic));
    }
    let more = diagnostics.count();
    if more > 0 {
        ui::err(&format!("{more} more are not shown"));
    }
}

/// Renders one error with the lines around it, or with a part of its line if one of them is long.
fn rendered(handler: &GraphicalReportHandler, diagnostic: &Diagnostic) -> String {
    let mut text = String::new();
    if has_long_line(diagnostic) || handler.render_report(&mut text, diagnostic).is_err() {
        return rendered_in_part(diagnostic);
    }
    text
}

/// True if the line of the error, or one next to it, is long.
fn has_long_line(diagnostic: &Diagnostic) -> bool {
    let first = diagnostic.span.line.saturating_sub(2);
    diagnostic.source.text().lines().skip(first).take(3).any(|line| line.len() > LONG_LINE)
}

/// Renders an error with the part of its line in which it starts.
fn rendered_in_part(diagnostic: &Diagnostic) -> String {
    let Diagnostic { message, label, span, hint, source, severity, .. } = diagnostic;
    let sign = if *severity == Severity::Warning { '⚠' } else { '×' };
    let head = format!("  {sign} {message}\n   ╭─[{}:{}:{}]\n", source.name(), span.line, span.column);
    let line = source.text().lines().nth(span.line.saturating_sub(1)).unwrap_or_default();
    let first = span.column.saturating_sub(1 + AROUND);
    let part: String = line.chars().skip(first).take(2 * AROUND).collect();
    let start = if first > 0 { "…" } else { "" };
    let indent = " ".repeat(span.column.saturating_sub(1 + first) + start.chars().count());
    let advice = hint.as_ref().map(|hint| format!("  help: {hint}\n")).unwrap_or_default();
    format!("{head}   │ {start}{part}…\n   │ {indent}↑ {label}\n   ╰────\n{advice}")
}
