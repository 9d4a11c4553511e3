//! Reading of the text files that the command line names. The size is limited, and a file that is
//! not regular is not opened: a FIFO can block for ever, and a device can have no end.

use std::{io, path::Path};

use stargate_sdk::{read_file_up_to_limit, read_up_to_limit_blocking};

/// Name of standard input in messages.
pub(crate) const STANDARD_INPUT: &str = "standard input";

/// Largest text that is read, in bytes.
const MAX_BYTES: usize = 4 << 20;

/// Reads a regular file in UTF-8. The error is the reason, as text for people.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    to_text(read_file_up_to_limit(path, MAX_BYTES))
}

/// Reads standard input if the path is `-`, otherwise like [`read`].
pub(crate) fn read_or_standard_input(path: &Path) -> Result<String, String> {
    if path == Path::new("-") { read_standard_input() } else { read(path) }
}

/// Reads standard input to its end.
pub(crate) fn read_standard_input() -> Result<String, String> {
    to_text(read_up_to_limit_blocking(io::stdin().lock(), MAX_BYTES))
}

fn to_text(read: io::Result<Option<Vec<u8>>>) -> Result<String, String> {
    let bytes = read.map_err(|error| error.to_string())?;
    let bytes = bytes.ok_or_else(|| format!("it has more than {} MiB", MAX_BYTES >> 20))?;
    String::from_utf8(bytes).map_err(|error| format!("it is not UTF-8: byte {}", error.utf8_error().valid_up_to() + 1))
}
