//! Output to stdout and stderr; no other file prints.
//!
//! A closed pipe (`| head`) is not an error: the remaining output is dropped and the command
//! continues. Any other write error on stdout is kept, and the command fails at its end.

use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use indicatif::MultiProgress;
use serde::Serialize;

use super::printable::{Styles, printable};

/// Live view that occupies the last lines of the terminal, if one is active.
static LIVE: Mutex<Option<MultiProgress>> = Mutex::new(None);
/// First error that occurred when data was written to stdout.
static WRITE_ERROR: Mutex<Option<String>> = Mutex::new(None);
/// Colours are allowed by the settings.
static COLOUR: AtomicBool = AtomicBool::new(false);

/// Width of text that is not written to a terminal, in columns: fits most screens and diffs.
const PIPE_WIDTH: usize = 100;
/// Minimum width for wrapped text, in columns.
const MIN_WIDTH: usize = 40;

/// Meaning of a text, shown as a colour. The text itself must express it as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Successful result.
    Good,
    /// A change, or something that needs attention.
    Notable,
    /// Failed result or error.
    Bad,
    /// Detail of less importance.
    Quiet,
    /// Heading or name.
    Strong,
}

/// Allows colours on terminals, or forbids them.
pub(crate) fn allow_colour(allowed: bool) {
    COLOUR.store(allowed, Ordering::Relaxed);
}

/// True if stderr is a terminal, so that a live view can be shown.
pub(crate) fn is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// True if text on stderr may contain colours.
pub(crate) fn colours_err() -> bool {
    COLOUR.load(Ordering::Relaxed) && io::stderr().is_terminal()
}

/// True if text on stdout may contain colours.
pub(crate) fn colours_out() -> bool {
    COLOUR.load(Ordering::Relaxed) && io::stdout().is_terminal()
}

/// Colours `text` for stderr, if colours are allowed there.
pub(crate) fn paint_err(tone: Tone, text: &str) -> String {
    paint(tone, text, colours_err())
}

/// Colours `text` for stdout, if colours are allowed there.
pub(crate) fn paint_out(tone: Tone, text: &str) -> String {
    paint(tone, text, colours_out())
}

/// Adds the escape sequences of a tone.
fn paint(tone: Tone, text: &str, coloured: bool) -> String {
    // SGR parameters of ECMA-48, section 8.3.117.
    let code = match tone {
        Tone::Good => "32",
        Tone::Notable => "33",
        Tone::Bad => "31",
        Tone::Quiet => "2",
        Tone::Strong => "1",
    };
    if coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// Size of a terminal, in columns and rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TerminalSize {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
}

/// Returns the size of the terminal that stderr is; that of a usual one if it has none, or zero.
pub(crate) fn terminal_size() -> TerminalSize {
    let size = terminal_size::terminal_size_of(io::stderr()).filter(|(columns, rows)| columns.0 > 0 && rows.0 > 0);
    let (columns, rows) = size.map_or((80, 24), |(columns, rows)| (columns.0, rows.0));
    TerminalSize { columns: usize::from(columns), rows: usize::from(rows) }
}

/// Returns the width of stderr in columns.
pub(crate) fn width_err() -> usize {
    let terminal = comfy_table::Table::new().use_stderr().width();
    terminal.map_or(PIPE_WIDTH, |width| usize::from(width).max(MIN_WIDTH))
}

/// Prints data, on stdout. Control characters are shown, not sent.
pub(crate) fn out(text: &str) {
    out_raw(&printable(text, styles(colours_out())));
}

/// Returns the styles of text that is coloured or not.
fn styles(coloured: bool) -> Styles {
    if coloured { Styles::Tones } else { Styles::None }
}

/// Prints data as it is, on stdout.
fn out_raw(text: &str) {
    suspend_live(|| {
        if let Err(error) = write_line(io::stdout().lock(), text)
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            WRITE_ERROR.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error.to_string());
        }
    });
}

/// Returns the error because of which data was lost, if any.
pub(crate) fn write_error() -> Option<String> {
    WRITE_ERROR.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Prints data as one line of JSON.
pub(crate) fn out_json(value: &impl Serialize) {
    out_raw(&serde_json::to_string(value).expect("output has string keys and serialisers that cannot fail"));
}

/// Prints data as indented JSON.
pub(crate) fn out_json_pretty(value: &impl Serialize) {
    out_raw(&serde_json::to_string_pretty(value).expect("output has string keys and serialisers that cannot fail"));
}

/// Prints a message, on stderr. Control characters are shown, not sent.
pub(crate) fn err(text: &str) {
    err_raw(&printable(text, styles(colours_err())));
}

/// Prints a report that has styles of its own, on stderr.
pub(crate) fn err_report(text: &str) {
    err_raw(&printable(text, if colours_err() { Styles::All } else { Styles::None }));
}

/// Returns a text of one line for the live view.
pub(crate) fn live_text(text: &str) -> String {
    printable(text, Styles::None).replace(['\n', '\t'], " ")
}

/// Prints text as it is, on stderr.
fn err_raw(text: &str) {
    // An error here cannot be reported anywhere.
    suspend_live(|| drop(write_line(io::stderr().lock(), text)));
}

/// Prints a heading with an empty line before it, on stderr.
#[cfg(feature = "sim")]
pub(crate) fn heading(text: &str) {
    err(&format!("\n{}", paint_err(Tone::Strong, text)));
}

/// Prints a hint: the next command or change.
pub(crate) fn hint(text: &str) {
    err(&format!("{} {text}", paint_err(Tone::Strong, "hint:")));
}

/// Sets the live view that steps aside while something is printed; `None` when it has ended.
pub(crate) fn set_live(view: Option<MultiProgress>) {
    *LIVE.lock().unwrap_or_else(PoisonError::into_inner) = view;
}

/// Hides the live view while `print` runs.
fn suspend_live(print: impl FnOnce()) {
    let live = LIVE.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match live {
        Some(view) => view.suspend(print),
        None => print(),
    }
}

/// Writes a line and flushes it, so that a reader sees it immediately.
fn write_line(mut to: impl Write, text: &str) -> io::Result<()> {
    to.write_all(text.as_bytes()).and_then(|()| to.write_all(b"\n")).and_then(|()| to.flush())
}
