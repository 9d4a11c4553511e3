//! Bodies of fuzz targets: readers of foreign text, each with what must hold for any input.

use crate::host;

/// Parses a script of the simulated shell.
pub fn shell(input: &[u8]) {
    host::check_any_script(&String::from_utf8_lossy(input));
}
