use super::access::{Done, change, node};
use super::permissions::mode_of;
use crate::host::commands::options::CommandOptions;
use crate::host::io::Io;
use crate::host::process::{Exit, Process};
use crate::host::state::Errno;

/// Runs the command `mkdir [-p] [-m MODE] DIRECTORY…`.
pub(super) fn mkdir(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let options = CommandOptions::parse(arguments, "m", &["mode"]);
    let mode = options.value('m', "mode").and_then(|mode| mode_of(mode, 0));
    let mut status = 0;
    for directory in &options.rest {
        let done = if options.has("p", "parents") {
            make_all(process, directory, mode)?
        } else {
            let path = process.path(directory);
            let mode = mode.unwrap_or(0o777 & !process.umask);
            change(process, |place, actor| place.machine.files.make_directory(actor, &path, mode))?
        };
        if let Err(error) = done {
            status = process.fail(io, 1, format!("mkdir: cannot create directory ‘{directory}’: {error}"))?;
        }
    }
    Ok(status)
}

/// Creates a directory and its parents.
///
/// Another process can create the same directory at the same time, as with `mkdir -p` of coreutils.
/// The call is counted as a write only if a directory was missing.
pub(super) fn make_all(process: &Process, directory: &str, mode: Option<u32>) -> Done<()> {
    let path = process.path(directory);
    let ends = path.match_indices('/').skip(1).map(|(at, _)| at).chain([path.len()]);
    for end in ends {
        let ancestor = &path[..end];
        match node(process, ancestor, true)? {
            Ok((_, node)) if node.is_directory() => continue,
            Ok(_) => return Ok(Err(if end == path.len() { Errno::Exists } else { Errno::NotDirectory })),
            Err(_) => {}
        }
        let mode = mode.filter(|_| end == path.len()).unwrap_or(0o777 & !process.umask);
        match change(process, |place, actor| place.machine.files.make_directory(actor, ancestor, mode))? {
            Ok(()) | Err(Errno::Exists) => {}
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(()))
}

/// Runs the command `mktemp [-d] [TEMPLATE]` and prints the path of the new file.
pub(super) fn mktemp(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let options = CommandOptions::parse(arguments, "p", &["tmpdir"]);
    let directory = options.value('p', "tmpdir").unwrap_or("/tmp");
    let template = match options.rest.first() {
        Some(template) if template.contains('/') || !options.has("pt", "tmpdir") => template.clone(),
        Some(template) => format!("{directory}/{template}"),
        None => format!("{directory}/tmp.XXXXXXXXXX"),
    };
    let stem = template.trim_end_matches('X');
    let count = template.len() - stem.len();
    if count < 3 {
        return process.fail(io, 1, format!("mktemp: too few X's in template ‘{template}’"));
    }
    let letters: String = (0..count).map(|_| char::from(b'a' + rand::random_range(0..26_u8))).collect();
    let file = format!("{stem}{letters}");
    let path = process.path(&file);
    let made = change(process, |place, actor| {
        if options.has("d", "directory") {
            place.machine.files.make_directory(actor, &path, 0o700)
        } else {
            place.machine.files.write(actor, &path, b"", false, 0o600)
        }
    })?;
    match made {
        Ok(()) => {
            process.print(io, format!("{file}\n"))?;
            Ok(0)
        }
        Err(error) => process.fail(io, 1, format!("mktemp: failed to create file via template ‘{template}’: {error}")),
    }
}

/// Runs the command `touch FILE…`, which creates missing files.
pub(super) fn touch(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let options = CommandOptions::parse(arguments, "", &[]);
    let mut status = 0;
    for file in &options.rest {
        let path = process.path(file);
        let mode = 0o666 & !process.umask;
        if let Err(error) = change(process, |place, actor| place.machine.write_file(actor, &path, b"", true, mode))? {
            status = process.fail(io, 1, format!("touch: cannot touch '{file}': {error}"))?;
        }
    }
    Ok(status)
}
