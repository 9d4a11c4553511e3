//! The only place that prints. A reader that has gone (`| head`) is no failure: the rest is dropped, the command goes on.
//! Data that cannot be written for any other reason are lost, and the command says so at its end.

use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use indicatif::MultiProgress;
use serde::Serialize;

/// The live view that owns the lower end of the terminal, while there is one.
static LIVE: Mutex<Option<MultiProgress>> = Mutex::new(None);
/// Why data could not be written, if they could not.
static WRITE_ERROR: Mutex<Option<String>> = Mutex::new(None);
static COLOUR: AtomicBool = AtomicBool::new(false);

/// Width of text that goes to no terminal: what fits most screens and diffs.
const PIPE_WIDTH: usize = 100;
/// Below this, wrapping leaves nothing readable.
const MIN_WIDTH: usize = 40;

/// Meaning that is also said in words, shown in colour where that is name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Went well.
    Good,
    /// Changed something, or wants attention.
    Notable,
    /// Went wrong.
    Bad,
    /// Of less interest.
    Quiet,
    /// A heading.
    Strong,
}

/// Says whether colours are name on a terminal.
pub(crate) fn allow_colour(name: bool) {
    COLOUR.store(name, Ordering::Relaxed);
}

/// Whether somebody watches: what is for people goes to a terminal.
pub(crate) fn is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Whether text on stderr may be coloured.
pub(crate) fn colours_err() -> bool {
    COLOUR.load(Ordering::Relaxed) && io::stderr().is_terminal()
}

/// Whether text on stdout may be coloured.
pub(crate) fn colours_out() -> bool {
    COLOUR.load(Ordering::Relaxed) && io::stdout().is_terminal()
}

/// `text` in a tone, for stderr.
pub(crate) fn paint_err(tone: Tone, text: &str) -> String {
    paint(tone, text, colours_err())
}

/// `text` in a tone, for stdout.
pub(crate) fn paint_out(tone: Tone, text: &str) -> String {
    paint(tone, text, colours_out())
}

fn paint(tone: Tone, text: &str, coloured: bool) -> String {
    // SGR parameters of ECMA-48.
    let code = match tone {
        Tone::Good => "32",
        Tone::Notable => "33",
        Tone::Bad => "31",
        Tone::Quiet => "2",
        Tone::Strong => "1",
    };
    if coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// Columns that a line may have on stderr.
pub(crate) fn width_err() -> usize {
    let terminal = comfy_table::Table::new().use_stderr().width();
    terminal.map_or(PIPE_WIDTH, |width| usize::from(width).max(MIN_WIDTH))
}

/// Prints data.
pub(crate) fn out(text: &str) {
    suspend_live(|| {
        if let Err(error) = write_line(io::stdout().lock(), text)
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            WRITE_ERROR.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error.to_string());
        }
    });
}

/// Why data that were printed are lost, if they are.
pub(crate) fn write_error() -> Option<String> {
    WRITE_ERROR.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Prints data as one line of JSON.
pub(crate) fn out_json(value: &impl Serialize) {
    out(&serde_json::to_string(value).expect("what commands show has string keys and no failing serialiser"));
}

/// Prints data as JSON over several lines.
pub(crate) fn out_json_pretty(value: &impl Serialize) {
    out(&serde_json::to_string_pretty(value).expect("what commands show has string keys and no failing serialiser"));
}

/// Prints what is for people.
pub(crate) fn err(text: &str) {
    // Nobody is left to be told that this could not be written.
    suspend_live(|| drop(write_line(io::stderr().lock(), text)));
}

/// Prints a heading for people, apart from what was before.
#[cfg(feature = "sim")]
pub(crate) fn heading(text: &str) {
    err(&format!("\n{}", paint_err(Tone::Strong, text)));
}

/// Prints what the reader can do next.
pub(crate) fn hint(text: &str) {
    err(&format!("{} {text}", paint_err(Tone::Strong, "hint:")));
}

/// Lets the live view step aside whenever something else is printed; `None` when it has ended.
pub(crate) fn set_live(view: Option<MultiProgress>) {
    *LIVE.lock().unwrap_or_else(PoisonError::into_inner) = view;
}

fn suspend_live(print: impl FnOnce()) {
    let live = LIVE.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match live {
        Some(view) => view.suspend(print),
        None => print(),
    }
}

fn write_line(mut to: impl Write, text: &str) -> io::Result<()> {
    to.write_all(text.as_bytes()).and_then(|()| to.write_all(b"\n")).and_then(|()| to.flush())
}
