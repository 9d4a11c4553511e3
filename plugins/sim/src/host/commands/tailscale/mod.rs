//! Simulated `tailscale`, which works on tailscaled's state and the simulated tailnet.

mod flags;
mod preferences;
mod status;
mod up;

use super::options::CommandOptions;
use crate::host::io::Io;
use crate::host::process::{Exit, Process};

/// Runs the command `tailscale COMMAND …`.
///
/// While tailscaled's unit is not active, every command except `version` fails.
pub(super) fn tailscale(process: &mut Process, io: &Io, arguments: &[String]) -> Exit {
    let Some((verb, rest)) = arguments.split_first() else {
        return process.fail(
            io,
            1,
            "The easiest, most secure way to use WireGuard.\n\nUSAGE\n  tailscale [flags] <subcommand> [command flags]",
        );
    };
    if verb == "version" || verb == "--version" {
        process.print(io, "1.100.0-ERR-BuildInfo\n  long version: 1.100.0-ERR-BuildInfo\n  go version: go1.26.8\n")?;
        return Ok(0);
    }
    if !matches!(verb.as_str(), "up" | "set" | "down" | "logout" | "status" | "get" | "debug" | "ip" | "ping") {
        return process.fail(io, 1, format!("tailscale: unknown subcommand: {verb}"));
    }
    if !process.with(|place| place.machine.unit_active("tailscaled"))? {
        let message = "failed to connect to local tailscaled; it doesn't appear to be running (sudo systemctl start tailscaled ?)";
        return process.fail(io, 1, message);
    }
    match verb.as_str() {
        "up" => up::up(process, io, rest),
        "set" => preferences::set(process, io, rest),
        "down" => preferences::down(process, io),
        "logout" => preferences::logout(process, io),
        "get" => preferences::get(process, io, rest),
        "debug" => preferences::debug(process, io, rest),
        "status" => status::status(process, io, rest),
        "ip" => status::ip(process, io, rest),
        _ => status::ping(process, io, &CommandOptions::parse(rest, "c", &["timeout"])),
    }
}
