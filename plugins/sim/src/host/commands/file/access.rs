use crate::host::io::Io;
use crate::host::process::{Halted, Place, Process};
use crate::host::state::{Actor, Errno, Node};

/// Result of a file operation by a program: the outer error means that the machine went down.
pub(super) type Done<T> = Result<Result<T, Errno>, Halted>;

/// Reads a file with the program's permissions; `-` is standard input.
pub(in crate::host::commands) fn contents(process: &Process, io: &Io, file: &str) -> Done<Vec<u8>> {
    if file == "-" || file == "/dev/stdin" {
        return Ok(Ok(io.input.read()));
    }
    let path = process.path(file);
    process.with(|place| place.machine.read_file(&process.actor, &path))
}

/// Changes files as the process's user, and counts a successful change as `file`.
pub(super) fn change<R>(process: &Process, change: impl FnOnce(&mut Place<'_>, &Actor) -> Result<R, Errno>) -> Done<R> {
    process.change("file", |place| change(place, &process.actor))
}

/// Returns the resolved path and the node of a file.
///
/// A symbolic link at the end is followed only if `follow` is true.
pub(super) fn node(process: &Process, file: &str, follow: bool) -> Done<(String, Node)> {
    let path = process.path(file);
    process.with(|place| {
        let files = &place.machine.files;
        let path = files.reach(&process.actor, &path, follow)?;
        let node = files.nodes.get(&path).cloned().ok_or(Errno::Missing)?;
        Ok((path, node))
    })
}

/// Returns true if `file` is a directory that the user can reach.
pub(super) fn is_directory(process: &Process, file: &str) -> Result<bool, Halted> {
    Ok(node(process, file, true)?.is_ok_and(|(_, node)| node.is_directory()))
}
