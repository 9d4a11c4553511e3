use super::access::{change, node};
use crate::host::commands::options::CommandOptions;
use crate::host::io::Io;
use crate::host::process::{Exit, Process};
use crate::host::state::{Actor, Errno, Files};

/// Runs the command `rm [-r] [-f] FILE…`.
pub(super) fn rm(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let options = CommandOptions::parse(arguments, "", &[]);
    let (force, recursive) = (options.has("f", "force"), options.has("rR", "recursive"));
    let mut status = 0;
    for file in &options.rest {
        let path = process.path(file);
        match node(process, file, false)? {
            Err(Errno::Missing | Errno::NotDirectory) if force => continue,
            Ok((_, node)) if node.is_directory() && !recursive => {
                status = process.fail(io, 1, format!("rm: cannot remove '{file}': Is a directory"))?;
                continue;
            }
            _ => {}
        }
        if let Err(error) = change(process, |place, actor| remove_all(&mut place.machine.files, actor, &path))? {
            status = process.fail(io, 1, format!("rm: cannot remove '{file}': {error}"))?;
        }
    }
    Ok(status)
}

/// Removes a node and everything below it, the deepest first.
fn remove_all(files: &mut Files, actor: &Actor, path: &str) -> Result<(), Errno> {
    let inside = format!("{path}/");
    let below: Vec<String> = files.nodes.keys().filter(|path| path.starts_with(&inside)).cloned().collect();
    below.iter().rev().try_for_each(|path| files.remove(actor, path))?;
    files.remove(actor, path)
}

/// Runs the command `rmdir DIRECTORY…`, which removes only empty directories.
pub(super) fn rmdir(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let mut status = 0;
    for directory in arguments {
        let path = process.path(directory);
        if let Err(error) = change(process, |place, actor| place.machine.files.remove(actor, &path))? {
            status = process.fail(io, 1, format!("rmdir: failed to remove '{directory}': {error}"))?;
        }
    }
    Ok(status)
}
