//! Bodies of fuzz targets: readers of foreign text, each with what must hold for any input.

use crate::operations::{kernel_route, tailscale_status};

/// Reads an output of `ip -json route`.
pub fn ip(input: &[u8]) {
    kernel_route::check_any_output(input);
}

/// Reads an output of `tailscale status --json`.
pub fn tailscale_status(input: &[u8]) {
    tailscale_status::check_any_status(input);
}
