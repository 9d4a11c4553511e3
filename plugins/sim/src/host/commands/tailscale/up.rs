use std::collections::BTreeMap;

use super::flags::{DEFAULT_SERVER, apply, not_default, parse};
use crate::host::io::Io;
use crate::host::process::{Exit, Halted, Place, Process};
use crate::host::state::Prefs;

/// Runs the command `tailscale up [FLAGS]`.
///
/// Requires root. After the first login, and without `--reset`, the flags must name each preference
/// that differs from its default. Preferences that the flags do not name get their default.
pub(super) fn up(process: &mut Process, io: &Io, arguments: &[String]) -> Exit {
    let flags = match parse(arguments, true) {
        Ok(flags) => flags,
        Err(message) => return process.fail(io, 2, message),
    };
    if !process.actor.is_root() {
        let message = format!(
            "Access denied: checkprefs access denied\n\nUse 'sudo tailscale up {}'.\n\
             To not require root, use 'sudo tailscale set --operator=$USER' once.",
            arguments.join(" ")
        );
        return process.fail(io, 1, message.replace(" '.", "'."));
    }
    let key = match auth_key(process, &flags)? {
        Ok(key) => key,
        Err(message) => return process.fail(io, 1, message),
    };
    let before = process.with(|place| place.machine.tailscaled.prefs.clone())?;
    if flags.is_empty() && !before.control_url.is_empty() {
        return bring_up(process, io, before);
    }
    let reset = flags.contains_key("reset");
    if !before.control_url.is_empty()
        && !reset
        && let Some(message) = unmentioned(&before, &flags, arguments)
    {
        return process.fail(io, 1, message);
    }
    let mut prefs =
        Prefs { control_url: DEFAULT_SERVER.to_owned(), operator: before.operator.clone(), ..Prefs::default() };
    if let Err(message) = apply(&mut prefs, &flags) {
        return process.fail(io, 1, message);
    }
    let again = flags.contains_key("force-reauth");
    let done = process.change("tailscale", |place| connect(place, prefs, key.as_deref(), again))?;
    match done {
        Ok(()) => Ok(0),
        Err(message) => process.fail(io, 1, message),
    }
}

/// Connects without flags: all preferences stay.
fn bring_up(process: &mut Process, io: &Io, prefs: Prefs) -> Exit {
    match process.change("tailscale", |place| connect(place, prefs, None, false))? {
        Ok(()) => Ok(0),
        Err(message) => process.fail(io, 1, message),
    }
}

/// Returns the value of `--auth-key=KEY`, or the content of the file of `--auth-key=file:PATH`.
fn auth_key(process: &Process, flags: &BTreeMap<String, String>) -> Result<Result<Option<String>, String>, Halted> {
    let Some(key) = flags.get("auth-key").or_else(|| flags.get("authkey")) else { return Ok(Ok(None)) };
    let Some(file) = key.strip_prefix("file:") else { return Ok(Ok(Some(key.clone()))) };
    let path = process.path(file);
    let bytes = process.with(|place| place.machine.read_file(&process.actor, &path))?;
    Ok(match bytes {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned())),
        Err(error) => Err(format!("open {file}: {}", error.to_string().to_lowercase())),
    })
}

/// Returns the error of `up` if the flags omit a preference that differs from its default.
fn unmentioned(before: &Prefs, flags: &BTreeMap<String, String>, arguments: &[String]) -> Option<String> {
    let current = not_default(before);
    let left_out: Vec<&String> =
        current.iter().filter(|(name, _)| !flags.contains_key(**name)).map(|(_, shown)| shown).collect();
    // The key and switches without a preference are not repeated in the suggested command.
    let silent = ["--auth-key", "--authkey", "--timeout", "--json", "--qr", "--force-reauth"];
    if left_out.is_empty() || flags.keys().all(|name| silent.contains(&format!("--{name}").as_str())) {
        return None;
    }
    let given = arguments.iter().filter(|word| !silent.iter().any(|prefix| word.starts_with(prefix)));
    let words: Vec<&str> = given.chain(left_out).map(String::as_str).collect();
    Some(format!(
        "Error: changing settings via 'tailscale up' requires mentioning all\n\
         non-default flags. To proceed, either re-run your command with --reset or\n\
         use the command below to explicitly mention the current value of\n\
         all non-default settings:\n\n\ttailscale up {}\n",
        words.join(" ")
    ))
}

/// Logs in if necessary, stores the preferences and connects.
///
/// # Errors
///
/// The message of `tailscale`, if a login is necessary and the key is missing or refused.
fn connect(place: &mut Place<'_>, prefs: Prefs, key: Option<&str>, again: bool) -> Result<(), String> {
    let machine = &mut *place.machine;
    let state = machine.backend_state(place.tailnet);
    if again || matches!(state, "NeedsLogin" | "NoState") {
        let hostname = if prefs.hostname.is_empty() { machine.hostname.clone() } else { prefs.hostname.clone() };
        // Without a key the real program prints a login URL and waits for a user. The simulation
        // fails instead.
        let key = key.ok_or(
            "timeout waiting for Tailscale service to enter a Running state; check health with \"tailscale status\"",
        )?;
        let joined = place.tailnet.join(key, &hostname, &prefs.advertise_tags);
        let node = joined.map_err(|error| format!("backend error: {error}"))?;
        machine.tailscaled.node = Some(node);
    }
    machine.tailscaled.prefs = Prefs { want_running: true, logged_out: false, ..prefs };
    machine.report(place.tailnet);
    Ok(())
}
