//! Bodies of fuzz targets: readers of foreign text, each with what must hold for any input.

use crate::{actions, client};

/// Reads an answer of Tailscale's API, as a list of devices and as a refusal.
pub fn tailscale_api(input: &[u8]) {
    actions::check_any_list(input);
    client::check_any_answer(input);
}
