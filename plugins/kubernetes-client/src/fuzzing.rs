//! Bodies of fuzz targets: readers of foreign text, each with what must hold for any input.

use crate::error;

/// Reads an answer of an API server.
pub fn kubernetes(input: &[u8]) {
    error::check_any_answer(input);
}
