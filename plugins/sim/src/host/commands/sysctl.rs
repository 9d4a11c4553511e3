use super::options::CommandOptions;
use crate::host::io::Io;
use crate::host::process::{Exit, Halted, Process};
use crate::host::sysctl::{dotted, settings};

/// Runs the command `sysctl [-n] [-e] [-q] [-w] KEY[=VALUE]…`, `sysctl --system`, `sysctl -p
/// [FILE]…` and `sysctl -a`.
pub(super) fn sysctl(process: &mut Process, io: &Io, arguments: &[String]) -> Exit {
    let options = CommandOptions::parse(arguments, "", &[]);
    let output = Output {
        names: !options.has("n", "values"),
        ignore: options.has("e", "ignore"),
        quiet: options.has("q", "quiet"),
    };
    if options.has("", "system") {
        let files = process.with(|place| place.machine.sysctl_files())?;
        return load(process, io, output, &files, true);
    }
    if options.has("p", "load") {
        let files = if options.rest.is_empty() { vec!["/etc/sysctl.conf".to_owned()] } else { options.rest };
        return load(process, io, output, &files, false);
    }
    let mut status = 0;
    let keys = if options.has("aA", "all") {
        process.with(|place| place.machine.sysctls.keys().cloned().collect())?
    } else {
        options.rest
    };
    for word in keys {
        let done = match word.split_once('=') {
            Some((key, value)) => set(process, io, output, &dotted(key.trim()), value.trim())?,
            None => show(process, io, output, &dotted(&word))?,
        };
        status = if done == 0 { status } else { done };
    }
    Ok(status)
}

/// Options of `sysctl` that affect its output.
#[derive(Clone, Copy)]
struct Output {
    names: bool,
    ignore: bool,
    quiet: bool,
}

/// Prints `KEY = VALUE`, or the value alone with `-n`.
fn print(process: &Process, io: &Io, output: Output, key: &str, value: &str) -> Result<(), Halted> {
    process.print(io, if output.names { format!("{key} = {value}\n") } else { format!("{value}\n") })
}

/// Prints the value of one key.
fn show(process: &Process, io: &Io, output: Output, key: &str) -> Exit {
    let path = format!("/proc/sys/{}", key.replace('.', "/"));
    match process.with(|place| place.machine.read_file(&process.actor, &path))? {
        Ok(bytes) => {
            print(process, io, output, key, String::from_utf8_lossy(&bytes).trim_end())?;
            Ok(0)
        }
        Err(_) => missing(process, io, output, key),
    }
}

/// Reports an unknown key with exit status 1; with `-e` it is ignored.
fn missing(process: &Process, io: &Io, output: Output, key: &str) -> Exit {
    if output.ignore {
        return Ok(0);
    }
    process.fail(io, 1, format!("sysctl: cannot stat /proc/sys/{}: No such file or directory", key.replace('.', "/")))
}

/// Sets one key, which requires root, and prints it unless `-q` is given.
fn set(process: &Process, io: &Io, output: Output, key: &str, value: &str) -> Exit {
    if !process.with(|place| place.machine.sysctls.contains_key(key))? {
        return missing(process, io, output, key);
    }
    if !process.actor.is_root() {
        return process.fail(io, 1, format!("sysctl: permission denied on key \"{key}\""));
    }
    let set = process.change("sysctl", |place| place.machine.set_sysctl(key, value).then_some(()).ok_or(()))?;
    if set.is_err() {
        return missing(process, io, output, key);
    }
    if !output.quiet {
        print(process, io, output, key, value)?;
    }
    Ok(0)
}

/// Applies the settings of files in their order.
///
/// `announced` prints each file name first, as `sysctl --system` does. A missing file is reported
/// and the next one is read.
fn load(process: &Process, io: &Io, output: Output, files: &[String], announced: bool) -> Exit {
    let mut status = 0;
    for file in files {
        let path = process.path(file);
        let text = match process.with(|place| place.machine.read_file(&process.actor, &path))? {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => {
                status = process.fail(io, 1, format!("sysctl: cannot open \"{file}\": {error}"))?;
                continue;
            }
        };
        if announced && !output.quiet {
            process.print(io, format!("* Applying {file} ...\n"))?;
        }
        for (key, value) in settings(&text) {
            let done = set(process, io, output, &key, &value)?;
            status = if done == 0 { status } else { done };
        }
    }
    Ok(status)
}
