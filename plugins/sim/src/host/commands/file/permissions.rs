use super::access::{change, node};
use crate::host::commands::options::CommandOptions;
use crate::host::io::Io;
use crate::host::process::{Exit, Halted, Place, Process};
use crate::host::state::Errno;

/// Runs the command `chmod MODE FILE…`, with an octal or a symbolic mode.
///
/// Options such as `-R` are not simulated.
pub(super) fn chmod(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let Some((mode, files)) = arguments.split_first().filter(|(_, files)| !files.is_empty()) else {
        return process.fail(io, 1, "chmod: missing operand");
    };
    let mut status = 0;
    for file in files {
        let path = process.path(file);
        let Ok((_, node)) = node(process, file, true)? else {
            status = process.fail(io, 1, format!("chmod: cannot access '{file}': No such file or directory"))?;
            continue;
        };
        let Some(mode) = mode_of(mode, node.mode) else {
            return process.fail(io, 1, format!("chmod: invalid mode: ‘{mode}’"));
        };
        if let Err(error) = change(process, |place, actor| place.machine.files.change_mode(actor, &path, mode))? {
            status = process.fail(io, 1, format!("chmod: changing permissions of '{file}': {error}"))?;
        }
    }
    Ok(status)
}

/// Computes a mode from octal digits or from changes such as `u+x,go-w`.
///
/// Returns `None` if the text is not a mode. The special bits (set-user-id, sticky) exist in octal
/// only.
pub(super) fn mode_of(text: &str, current: u32) -> Option<u32> {
    if let Ok(mode) = u32::from_str_radix(text, 8) {
        return Some(mode);
    }
    text.split(',').try_fold(current, |mode, clause| {
        let at = clause.find(['+', '-', '='])?;
        let (who, change) = clause.split_at(at);
        let who = if who.is_empty() || who.contains('a') { "ugo" } else { who };
        let shifts = who.chars().map(|class| match class {
            'u' => 6,
            'g' => 3,
            _ => 0,
        });
        let bits = change[1..].chars().fold(0, |bits, letter| {
            bits | match letter {
                'r' => 4,
                'w' => 2,
                'x' | 'X' => 1,
                _ => 0,
            }
        });
        let (mut set, mut whole) = (0, 0);
        for shift in shifts {
            set |= bits << shift;
            whole |= 7 << shift;
        }
        Some(match &change[..1] {
            "+" => mode | set,
            "-" => mode & !set,
            _ => (mode & !whole) | set,
        })
    })
}

/// Runs the command `chown [-R] USER[:GROUP] FILE…` and `chgrp [-R] GROUP FILE…`.
pub(super) fn chown(process: &Process, io: &Io, program: &str, arguments: &[String]) -> Exit {
    let options = CommandOptions::parse(arguments, "", &[]);
    let Some((owner, files)) = options.rest.split_first().filter(|(_, files)| !files.is_empty()) else {
        return process.fail(io, 1, format!("{program}: missing operand"));
    };
    let (user, group) = match owner.split_once([':', '.']) {
        _ if program == "chgrp" => ("", Some(owner.as_str())),
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty()).or(Some(user))),
        None => (owner.as_str(), None),
    };
    let user = Some(user).filter(|user| !user.is_empty());
    if let Some(name) = user
        && process.with(|place| place.machine.account(name))?.is_none()
    {
        return process.fail(io, 1, format!("{program}: invalid user: ‘{owner}’"));
    }
    let mut status = 0;
    for file in files {
        let path = process.path(file);
        let recursive = options.has("R", "recursive");
        let changed = change(process, |place, actor| {
            let files = &mut place.machine.files;
            let inside = format!("{path}/");
            let below: Vec<String> =
                files.nodes.keys().filter(|path| recursive && path.starts_with(&inside)).cloned().collect();
            below.iter().chain([&path]).try_for_each(|path| files.change_owner(actor, path, user, group))
        })?;
        status = match changed {
            Ok(()) => status,
            Err(Errno::Missing) => {
                process.fail(io, 1, format!("{program}: cannot access '{file}': No such file or directory"))?
            }
            Err(error) => process.fail(io, 1, format!("{program}: changing ownership of '{file}': {error}"))?,
        };
    }
    Ok(status)
}

/// Sets the owner and the group of a new file; an error is ignored.
pub(super) fn own(process: &Process, file: &str, owner: Option<&str>, group: Option<&str>) -> Result<(), Halted> {
    let path = process.path(file);
    let give = |place: &mut Place<'_>| place.machine.files.change_owner(&process.actor, &path, owner, group);
    process.with(give).map(drop)
}
