//! Reading of the text files that the command line names. The size is limited, and a file that is
//! not regular is not opened: a FIFO can block for ever, and a device can have no end.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

/// Name of standard input in messages.
pub(crate) const STANDARD_INPUT: &str = "standard input";

/// Largest text that is read, in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// Reads a regular file in UTF-8. The error is the reason, as text for people.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    let kind = fs::metadata(path).map_err(|error| error.to_string())?;
    if !kind.is_file() {
        return Err("it is not a regular file".into());
    }
    limited(File::open(path).map_err(|error| error.to_string())?)
}

/// Reads standard input if the path is `-`, otherwise like [`read`].
pub(crate) fn read_or_standard_input(path: &Path) -> Result<String, String> {
    if path == Path::new("-") { read_standard_input() } else { read(path) }
}

/// Reads standard input to its end.
pub(crate) fn read_standard_input() -> Result<String, String> {
    limited(io::stdin().lock())
}

/// Reads up to the end, or returns an error for more than [`MAX_BYTES`].
fn limited(from: impl Read) -> Result<String, String> {
    let mut bytes = Vec::new();
    from.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("it has more than {} MiB", MAX_BYTES >> 20));
    }
    String::from_utf8(bytes).map_err(|error| format!("it is not UTF-8: byte {}", error.utf8_error().valid_up_to() + 1))
}
