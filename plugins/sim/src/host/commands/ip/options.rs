use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::Value;

use crate::host::io::Io;
use crate::host::process::{Exit, Halted, Process};
use crate::host::state::Machine;
use crate::tailnet::Tailnet;

/// Options of `ip` that apply to each object.
#[derive(Clone, Copy)]
pub(super) struct IpOptions {
    pub(super) json: bool,
    pub(super) six: bool,
}

/// Prints one JSON array on one line, as `ip -json` does.
pub(super) fn print_json(process: &Process, io: &Io, values: &[Value]) -> Exit {
    process.print(io, format!("{}\n", Value::from(values.to_vec())))?;
    Ok(0)
}

/// Reads the machine and the tailnet; the access is not counted as a write.
pub(super) fn read_network<R>(process: &Process, look: impl FnOnce(&Machine, &Tailnet) -> R) -> Result<R, Halted> {
    process.with(|place| look(place.machine, place.tailnet))
}

/// Parses a prefix or an address; `default`, `all` and `any` are `0.0.0.0/0`.
pub(super) fn prefix(text: &str) -> Result<Ipv4Net, String> {
    if matches!(text, "default" | "all" | "any") {
        return Ok(Ipv4Net::default());
    }
    let parsed = text.parse::<Ipv4Net>().ok().or_else(|| text.parse::<Ipv4Addr>().ok().map(Ipv4Net::from));
    parsed.ok_or_else(|| format!("Error: any valid prefix is expected rather than \"{text}\"."))
}

/// Returns true if the machine has an interface with this name.
pub(super) fn known(machine: &Machine, tailnet: &Tailnet, device: &str) -> bool {
    machine.interfaces(tailnet).iter().any(|interface| interface.name == device)
}
