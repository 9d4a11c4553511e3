use super::access::{change, contents, is_directory, node};
use super::create::make_all;
use super::permissions::{mode_of, own};
use crate::host::commands::options::CommandOptions;
use crate::host::io::Io;
use crate::host::process::{Exit, Halted, Process};
use crate::host::state::{Errno, base_name, parent};

/// Returns the path of a copy of `source` at `target`.
///
/// It is inside `target` if that is a directory.
fn into(process: &Process, source: &str, target: &str) -> Result<String, Halted> {
    let directory = is_directory(process, target)?;
    Ok(if directory { format!("{target}/{}", base_name(source)) } else { target.to_owned() })
}

/// Runs the command `cp SOURCE… TARGET` for regular files; directories need `-r`, which is not
/// simulated.
///
/// The copy gets the permission bits of its source.
pub(super) fn cp(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let options = CommandOptions::parse(arguments, "", &[]);
    let Some((target, sources)) = options.rest.split_last().filter(|(_, sources)| !sources.is_empty()) else {
        return process.fail(io, 1, "cp: missing file operand");
    };
    for source in sources {
        let bytes = match contents(process, io, source)? {
            Ok(bytes) => bytes,
            Err(Errno::IsDirectory) => {
                return process.fail(io, 1, format!("cp: -r not specified; omitting directory '{source}'"));
            }
            Err(error) => return process.fail(io, 1, format!("cp: cannot stat '{source}': {error}")),
        };
        let mode = node(process, source, true)?.map_or(0o644, |(_, node)| node.mode);
        let target = into(process, source, target)?;
        let path = process.path(&target);
        let written = change(process, |place, actor| place.machine.write_file(actor, &path, &bytes, false, mode))?;
        if let Err(error) = written {
            return process.fail(io, 1, format!("cp: cannot create regular file '{target}': {error}"));
        }
    }
    Ok(0)
}

/// Runs the command `install [-d] [-D] [-m MODE] [-o OWNER] [-g GROUP] SOURCE… TARGET`.
pub(super) fn install(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let options = CommandOptions::parse(arguments, "mogt", &["mode", "owner", "group", "target-directory"]);
    let mode = options.value('m', "mode").and_then(|mode| mode_of(mode, 0)).unwrap_or(0o755);
    let (owner, group) = (options.value('o', "owner"), options.value('g', "group"));
    if options.has("d", "directory") {
        for directory in &options.rest {
            if let Err(error) = make_all(process, directory, Some(mode))? {
                return process.fail(io, 1, format!("install: cannot create directory ‘{directory}’: {error}"));
            }
            own(process, directory, owner, group)?;
        }
        return Ok(0);
    }
    let mut rest = options.rest.clone();
    rest.extend(options.value('t', "target-directory").map(str::to_owned));
    let Some((target, sources)) = rest.split_last().filter(|(_, sources)| !sources.is_empty()) else {
        return process.fail(io, 1, "install: missing file operand");
    };
    for source in sources {
        let bytes = match contents(process, io, source)? {
            Ok(bytes) => bytes,
            Err(error) => return process.fail(io, 1, format!("install: cannot stat '{source}': {error}")),
        };
        let target = into(process, source, target)?;
        let path = process.path(&target);
        if options.has("D", "")
            && let Err(error) = make_all(process, parent(&path), None)?
        {
            return process.fail(io, 1, format!("install: cannot create directory ‘{}’: {error}", parent(&path)));
        }
        let written = change(process, |place, actor| {
            place.machine.write_file(actor, &path, &bytes, false, mode)?;
            place.machine.files.change_mode(actor, &path, mode)
        })?;
        if let Err(error) = written {
            return process.fail(io, 1, format!("install: cannot create regular file '{target}': {error}"));
        }
        own(process, &target, owner, group)?;
    }
    Ok(0)
}

/// Runs the command `ln -s [-f] [-n] TARGET LINK`.
///
/// Every link is symbolic, with or without `-s`.
pub(super) fn ln(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let options = CommandOptions::parse(arguments, "", &[]);
    let [target, file] = options.rest.as_slice() else { return process.fail(io, 1, "ln: missing file operand") };
    let path =
        process.path(&if options.has("nT", "no-dereference") { file.clone() } else { into(process, target, file)? });
    let linked = change(process, |place, actor| {
        if options.has("f", "force") {
            match place.machine.files.remove(actor, &path) {
                Ok(()) | Err(Errno::Missing) => {}
                Err(error) => return Err(error),
            }
        }
        place.machine.files.link(actor, target, &path)
    })?;
    match linked {
        Ok(()) => Ok(0),
        Err(error) => process.fail(io, 1, format!("ln: failed to create symbolic link '{file}': {error}")),
    }
}

/// Runs the command `mv [-T] SOURCE… TARGET`.
pub(super) fn mv(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let options = CommandOptions::parse(arguments, "", &[]);
    let Some((target, sources)) = options.rest.split_last().filter(|(_, sources)| !sources.is_empty()) else {
        return process.fail(io, 1, "mv: missing file operand");
    };
    for source in sources {
        let destination =
            if options.has("T", "no-target-directory") { target.clone() } else { into(process, source, target)? };
        let (from, to) = (process.path(source), process.path(&destination));
        if let Err(error) = node(process, source, false)? {
            return process.fail(io, 1, format!("mv: cannot stat '{source}': {error}"));
        }
        if let Err(error) = change(process, |place, actor| place.machine.files.rename(actor, &from, &to))? {
            return process.fail(io, 1, format!("mv: cannot move '{source}' to '{destination}': {error}"));
        }
    }
    Ok(0)
}
