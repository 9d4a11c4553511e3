//! Bodies of fuzz targets: readers of foreign text, each with what must hold for any input.

use crate::client;

/// Reads an answer of Azure Resource Manager.
pub fn arm(input: &[u8]) {
    client::check_any_answer(input);
}
