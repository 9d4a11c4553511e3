//! Diagnostics of the program (`--log`), for people who look for the cause of an error.

use std::io;

use tracing_subscriber::EnvFilter;

use super::{Failure, ui};

/// Starts to write diagnostics to stderr. `filter` selects them, in the syntax of
/// `tracing_subscriber::EnvFilter`.
///
/// # Errors
///
/// A usage failure if `filter` has a syntax error.
pub(crate) fn start(filter: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Failure::usage(format!("the log filter {filter:?} cannot be used: {error}"), "try `--log debug`")
    })?;
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ui::colours_err()).with_writer(|| StderrWriter).init();
    Ok(())
}

/// Writer that prints each formatted record above the live view.
struct StderrWriter;

impl io::Write for StderrWriter {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        ui::err_report(String::from_utf8_lossy(record).trim_end());
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
