use super::options::CommandOptions;
use crate::host::containerd;
use crate::host::image;
use crate::host::io::{Io, Sink, Source};
use crate::host::process::{Execution, Exit, Halted, Place, Process};
use crate::host::state::{unit_name, wants};
use crate::host::systemd_files::Section;

/// Runs the command `systemctl [--now] [-p PROPERTIES] VERB [UNIT…]`.
///
/// Verbs that change something require root. `mask` and `unmask` succeed without an effect.
pub(super) fn systemctl(process: &mut Process, io: &Io, arguments: &[String]) -> Exit {
    let options = CommandOptions::parse(arguments, "pnt", &["property", "type", "state"]);
    let Some((verb, units)) = options.rest.split_first() else {
        return process.fail(io, 1, "systemctl: not simulated without a verb");
    };
    match verb.as_str() {
        "is-active" | "is-failed" | "is-enabled" => asked(process, io, verb, units, options.has("q", "quiet")),
        "show" => show(process, io, units, &options),
        "status" => status(process, io, units),
        "cat" => cat(process, io, units),
        "is-system-running" => {
            process.print(io, "running\n")?;
            Ok(0)
        }
        _ if !process.actor.is_root() => {
            process.fail(io, 1, format!("Failed to {verb} {}: Access denied", units.first().map_or("", String::as_str)))
        }
        "daemon-reload" | "daemon-reexec" => reload(process),
        "reset-failed" => reset_failed(process, io, units),
        "mask" | "unmask" => Ok(0),
        "reboot" => reboot(process, io),
        "enable" => enable(process, io, units, options.has("", "now")),
        "disable" => disable(process, io, units, options.has("", "now")),
        "start" => each(process, io, units, start),
        "stop" => each(process, io, units, stop),
        "restart" | "reload" | "reload-or-restart" | "try-restart" => each(process, io, units, restart),
        _ => process.fail(io, 1, format!("Unknown command verb '{verb}', did you mean 'reset-failed'?")),
    }
}

/// Runs the command `reboot`: resets the machine, which breaks the caller's connection.
///
/// Always ends with `Halted` if the user is root, since the program runs on the machine that goes
/// down.
pub(super) fn reboot(process: &mut Process, io: &Io) -> Exit {
    if !process.actor.is_root() {
        return process.fail(io, 1, "Call to Reboot failed: Interactive authentication required.");
    }
    process
        .change("reboot", |place| {
            place.machine.reset();
            place.machine.report(place.tailnet);
            Ok::<_, ()>(())
        })?
        .unwrap_or_default();
    process.progress.send_modify(|generation| *generation += 1);
    Err(Halted)
}

/// Starts a unit as the boot does; its messages are discarded.
pub(crate) fn start_unit(process: &mut Process, unit: &str) -> Result<(), Halted> {
    let io = Io { input: Source::empty(), output: Sink::Null, error: Sink::Null };
    start(process, &io, unit).map(drop)
}

/// Function that carries out a verb of `systemctl` for one unit.
type Verb = fn(&mut Process, &Io, &str) -> Exit;

/// Carries out a verb for each unit. Returns the last exit status other than 0.
fn each(process: &mut Process, io: &Io, units: &[String], verb: Verb) -> Exit {
    let mut status = 0;
    for unit in units {
        let done = verb(process, io, unit)?;
        status = if done == 0 { status } else { done };
    }
    Ok(status)
}

/// Runs the verb `is-active`, `is-failed` and `is-enabled`.
///
/// Exits with 0 if one of the units has the state, as the real command does.
fn asked(process: &Process, io: &Io, verb: &str, units: &[String], quiet: bool) -> Exit {
    let mut good = false;
    let mut missing = false;
    for unit in units {
        let (active, enabled) = process.with(|place| {
            let state = place.machine.units.get(&unit_name(unit)).map_or("inactive", |state| &state.active);
            (state.to_owned(), place.machine.unit_file_state(unit))
        })?;
        let answer = match verb {
            "is-enabled" => enabled.unwrap_or("not-found").to_owned(),
            _ => active,
        };
        missing |= enabled.is_none();
        good |= match verb {
            "is-enabled" => matches!(answer.as_str(), "enabled" | "static"),
            "is-failed" => answer == "failed",
            _ => answer == "active",
        };
        if !quiet {
            process.print(io, format!("{answer}\n"))?;
        }
    }
    let failure = match verb {
        "is-active" => 3,
        "is-enabled" if missing => 4,
        _ => 1,
    };
    Ok(if good { 0 } else { failure })
}

/// Runs the verb `show`, which prints properties as `NAME=VALUE`.
///
/// The order is systemd's own, independent of the order of the options.
fn show(process: &Process, io: &Io, units: &[String], options: &CommandOptions) -> Exit {
    let asked: Vec<String> =
        options.values('p', "property").iter().flat_map(|names| names.split(',')).map(str::to_owned).collect();
    for (index, unit) in units.iter().enumerate() {
        if index > 0 {
            process.print(io, "\n")?;
        }
        let properties = properties(process, unit)?;
        for (name, value) in properties {
            if asked.is_empty() || asked.iter().any(|asked| asked == name) {
                let line = if options.has("", "value") { format!("{value}\n") } else { format!("{name}={value}\n") };
                process.print(io, line)?;
            }
        }
    }
    Ok(0)
}

/// Returns the simulated properties of a unit, in systemd's order.
///
/// A unit without a file has `LoadState=not-found` and no properties of a service.
fn properties(process: &Process, unit: &str) -> Result<Vec<(&'static str, String)>, Halted> {
    process.with(|place| {
        let machine = &place.machine;
        let file = machine.unit_file(unit);
        let state = machine.units.get(&unit_name(unit));
        let text = |value: Option<&String>, default: &str| value.map_or(default, String::as_str).to_owned();
        let active = text(state.map(|state| &state.active), "inactive");
        let failed = active == "failed" || state.is_some_and(|state| state.sub == "auto-restart");
        let mut properties = Vec::new();
        if file.is_some() {
            properties.extend([
                ("Type", value(&machine.unit_sections(unit), "Service", "Type").unwrap_or("simple").to_owned()),
                ("MainPID", state.map_or(0, |state| state.pid).to_string()),
                ("Result", if failed { "exit-code" } else { "success" }.to_owned()),
                ("NRestarts", state.map_or(0, |state| state.restarts).to_string()),
                ("ExecMainStatus", state.map_or(0, |state| state.status).to_string()),
            ]);
        }
        properties.extend([
            ("Id", unit_name(unit)),
            ("LoadState", if file.is_some() { "loaded" } else { "not-found" }.to_owned()),
            ("ActiveState", active),
            ("SubState", text(state.map(|state| &state.sub), "dead")),
            ("FragmentPath", file.unwrap_or_default()),
            ("UnitFileState", machine.unit_file_state(unit).unwrap_or_default().to_owned()),
            ("NeedDaemonReload", if machine.needs_reload(unit) { "yes" } else { "no" }.to_owned()),
        ]);
        properties
    })
}

/// Runs the verb `status`.
///
/// Exits with 3 if a unit is not active, and with 4 if it does not exist.
fn status(process: &Process, io: &Io, units: &[String]) -> Exit {
    let mut status = 0;
    for unit in units {
        let name = unit_name(unit);
        let (file, state) =
            process.with(|place| (place.machine.unit_file(unit), place.machine.units.get(&name).cloned()))?;
        let Some(file) = file else {
            status = process.fail(io, 4, format!("Unit {name} could not be found."))?;
            continue;
        };
        let (active, sub) = state.map_or(("inactive".to_owned(), "dead".to_owned()), |state| (state.active, state.sub));
        let mark = if active == "active" { "●" } else { "○" };
        process.print(io, format!("{mark} {name}\n     Loaded: loaded ({file})\n     Active: {active} ({sub})\n"))?;
        if active != "active" {
            status = 3;
        }
    }
    Ok(status)
}

/// Runs the verb `cat`, which prints the file of each unit, without its drop-ins.
fn cat(process: &Process, io: &Io, units: &[String]) -> Exit {
    for unit in units {
        let text = process.with(|place| {
            let file = place.machine.unit_file(unit)?;
            Some(format!("# {file}\n{}", place.machine.files.text(&file).unwrap_or_default()))
        })?;
        let Some(text) = text else {
            return process.fail(io, 1, format!("No files found for {}.", unit_name(unit)));
        };
        process.print(io, text)?;
    }
    Ok(0)
}

/// Runs the verb `daemon-reload`, which is not counted as a write.
fn reload(process: &Process) -> Exit {
    process.with(|place| place.machine.reload_units())?;
    Ok(0)
}

/// Runs the verb `reset-failed`. Without a unit it applies to all of them.
fn reset_failed(process: &Process, io: &Io, units: &[String]) -> Exit {
    let known: Vec<String> = process.with(|place| place.machine.units.keys().cloned().collect())?;
    let units: Vec<String> = units.iter().map(|unit| unit_name(unit)).collect();
    let mut status = 0;
    for unit in units.iter().filter(|unit| !known.contains(unit)) {
        let message = format!("Failed to reset failed state of unit {unit}: Unit {unit} not loaded.");
        status = process.fail(io, 1, message)?;
    }
    for unit in if units.is_empty() { &known } else { &units } {
        let reset = |place: &mut Place<'_>| if place.machine.reset_failed(unit) { Ok(()) } else { Err(()) };
        // A unit that had nothing to reset is neither an error nor a change.
        process.change("unit", reset)?.unwrap_or_default();
    }
    Ok(status)
}

/// Runs the verb `enable [--now]`: links the units into `multi-user.target`.
fn enable(process: &mut Process, io: &Io, units: &[String], now: bool) -> Exit {
    for unit in units {
        let name = unit_name(unit);
        let Some(file) = process.with(|place| place.machine.unit_file(unit))? else {
            return process.fail(io, 1, format!("Failed to enable unit: Unit {name} does not exist"));
        };
        let link = wants(unit);
        let enabled = process.with(|place| place.machine.files.nodes.contains_key(&link))?;
        process
            .change("unit", |place| {
                image::enable(&mut place.machine.files, unit);
                // Real `systemctl enable` reloads the units, too, unless it has `--no-reload`.
                place.machine.reload_units();
                Ok::<_, ()>(())
            })?
            .unwrap_or_default();
        if !enabled {
            process.write(&io.error, format!("Created symlink '{link}' → '{file}'.\n").as_bytes())?;
        }
    }
    if now { each(process, io, units, start) } else { Ok(0) }
}

/// Runs the verb `disable [--now]`: removes the links of the units.
fn disable(process: &mut Process, io: &Io, units: &[String], now: bool) -> Exit {
    for unit in units {
        let name = unit_name(unit);
        if process.with(|place| place.machine.unit_file(unit))?.is_none() {
            return process.fail(io, 1, format!("Failed to disable unit: Unit {name} does not exist"));
        }
        let link = wants(unit);
        let removed = process.change("unit", |place| {
            place.machine.reload_units();
            Ok::<_, ()>(place.machine.files.nodes.remove(&link))
        })?;
        if removed.is_ok_and(|node| node.is_some()) {
            process.write(&io.error, format!("Removed '{link}'.\n").as_bytes())?;
        }
    }
    if now { each(process, io, units, stop) } else { Ok(0) }
}

/// Starts one unit. An active unit stays unchanged.
///
/// Exits with 5 if the unit does not exist, and with 1 if it failed to start.
fn start(process: &mut Process, io: &Io, unit: &str) -> Exit {
    let name = unit_name(unit);
    let (file, active, sections, broken) = process.with(|place| {
        let machine = &place.machine;
        let broken = name == containerd::UNIT && containerd::is_broken(machine);
        (machine.unit_file(unit), machine.unit_active(unit), machine.unit_sections(unit), broken)
    })?;
    if file.is_none() {
        return process.fail(io, 5, format!("Failed to start {name}: Unit {name} not found."));
    }
    if active {
        return Ok(0);
    }
    let (active, sub, status) = if broken { ("failed", "failed", 1) } else { started(process, &sections)? };
    process
        .change("unit", |place| {
            place.machine.set_unit(unit, active, sub, status);
            if unit_name(unit) == "tailscaled.service" {
                place.machine.set_sysctl("net.ipv4.conf.all.src_valid_mark", "1");
            }
            place.machine.report(place.tailnet);
            Ok::<_, ()>(())
        })?
        .unwrap_or_default();
    if active == "failed" {
        let message = format!(
            "Job for {name} failed because the control process exited with error code.\n\
             See \"systemctl status {name}\" and \"journalctl -xeu {name}\" for details."
        );
        return process.fail(io, 1, message);
    }
    Ok(0)
}

/// Runs the commands of a unit and returns its active state, its sub-state and its exit status.
///
/// The commands of a one-shot unit run to their end. Another unit is running if its program exists,
/// and failed with 203 otherwise.
fn started(process: &mut Process, sections: &[Section]) -> Result<(&'static str, &'static str, i32), Halted> {
    let oneshot = value(sections, "Service", "Type") == Some("oneshot");
    let stays = matches!(value(sections, "Service", "RemainAfterExit"), Some("yes" | "true" | "1"));
    let settings = sections.iter().filter(|(section, _)| section == "Service").flat_map(|(_, settings)| settings);
    let kinds = if oneshot { &["ExecStartPre", "ExecStart", "ExecStartPost"][..] } else { &["ExecStartPre"][..] };
    let commands: Vec<String> =
        settings.filter(|(key, _)| kinds.contains(&key.as_str())).map(|(_, value)| value.clone()).collect();
    for command in commands {
        let forgiven = command.starts_with('-');
        let status = executed(process, command.trim_start_matches(['-', '+', '!', '@', ':']))?;
        if status != 0 && !forgiven {
            return Ok(("failed", "failed", status));
        }
    }
    if oneshot {
        return Ok(if stays { ("active", "exited", 0) } else { ("inactive", "dead", 0) });
    }
    let program = value(sections, "Service", "ExecStart").and_then(|line| line.split_whitespace().next());
    let program = program.unwrap_or_default().trim_start_matches(['-', '+', '!', '@', ':']);
    // Programs in `/usr/sbin` belong to units of the image and need no file. Only a unit that was
    // written later can name a missing program.
    let known = program.starts_with("/usr/sbin/") || process.program(program)?.is_some();
    Ok(if known { ("active", "running", 0) } else { ("failed", "failed", 203) })
}

/// Runs one command line of a unit as root, without output.
///
/// The shell parses the line, because systemd's quoting rules are close to the shell's.
fn executed(process: &mut Process, line: &str) -> Exit {
    let mut root = process.for_user("root")?.ok_or(Halted)?;
    "/".clone_into(&mut root.directory);
    root.counted = false;
    let io = Io { input: Source::empty(), output: Sink::Null, error: Sink::Null };
    let line = line.replace("%%", "%").replace('$', "\\$");
    let words = ["/bin/sh".to_owned(), "-c".to_owned(), format!("exec {line}")];
    match root.execute(&io, &words)? {
        Execution::Exited(status) => Ok(status),
        Execution::NotFound | Execution::Refused => Ok(203),
    }
}

/// Returns the last value of `key` in the sections called `section`.
fn value<'a>(sections: &'a [Section], section: &str, key: &str) -> Option<&'a str> {
    let settings = sections.iter().filter(|(name, _)| name == section).flat_map(|(_, settings)| settings);
    settings.rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
}

/// Stops one unit. Exits with 5 if it does not exist.
fn stop(process: &mut Process, io: &Io, unit: &str) -> Exit {
    let name = unit_name(unit);
    if process.with(|place| place.machine.unit_file(unit))?.is_none() {
        return process.fail(io, 5, format!("Failed to stop {name}: Unit {name} not loaded."));
    }
    process
        .change("unit", |place| {
            place.machine.set_unit(unit, "inactive", "dead", 0);
            place.machine.report(place.tailnet);
            Ok::<_, ()>(())
        })?
        .unwrap_or_default();
    Ok(0)
}

/// Restarts one unit.
///
/// networkd and systemd-sysctl apply their configuration files again.
fn restart(process: &mut Process, io: &Io, unit: &str) -> Exit {
    let name = unit_name(unit);
    if process.with(|place| place.machine.unit_file(unit))?.is_none() {
        return process.fail(io, 5, format!("Failed to restart {name}: Unit {name} not found."));
    }
    stop(process, io, unit)?;
    match name.as_str() {
        "systemd-networkd.service" => process.with(|place| place.machine.apply_network(true))?,
        "systemd-sysctl.service" => process.with(|place| place.machine.apply_sysctl_files())?,
        _ => {}
    }
    start(process, io, unit)
}
