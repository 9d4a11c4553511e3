use std::fmt::Write as _;

use super::options::CommandOptions;
use crate::host::io::Io;
use crate::host::process::{Exit, Halted, Place, Process};
use crate::host::state::{Actor, Errno, Files, Kind, Node, base_name, parent};

/// Runs one of the programs that handle files, by its name.
pub(super) fn run(process: &mut Process, io: &Io, name: &str, arguments: &[String]) -> Exit {
    match name {
        "cat" => cat(process, io, arguments),
        "chmod" => chmod(process, io, arguments),
        "chown" | "chgrp" => chown(process, io, name, arguments),
        "cp" => cp(process, io, arguments),
        "dd" => dd(process, io, arguments),
        "install" => install(process, io, arguments),
        "ln" => ln(process, io, arguments),
        "ls" => ls(process, io, arguments),
        "mkdir" => mkdir(process, io, arguments),
        "mktemp" => mktemp(process, io, arguments),
        "mv" => mv(process, io, arguments),
        "readlink" => readlink(process, io, arguments),
        "rm" => rm(process, io, arguments),
        "rmdir" => rmdir(process, io, arguments),
        "stat" => stat(process, io, arguments),
        "tee" => tee(process, io, arguments),
        "touch" => touch(process, io, arguments),
        _ => Ok(0), // sync: each write is on the disk immediately
    }
}

/// Result of a file operation by a program: the outer error means that the machine went down.
type Done<T> = Result<Result<T, Errno>, Halted>;

/// Reads a file with the program's permissions; `-` is standard input.
pub(super) fn contents(process: &Process, io: &Io, file: &str) -> Done<Vec<u8>> {
    if file == "-" || file == "/dev/stdin" {
        return Ok(Ok(io.input.read()));
    }
    let path = process.path(file);
    process.with(|place| place.machine.read_file(&process.actor, &path))
}

/// Changes files as the process's user, and counts a successful change as `file`.
fn change<R>(process: &Process, change: impl FnOnce(&mut Place<'_>, &Actor) -> Result<R, Errno>) -> Done<R> {
    process.change("file", |place| change(place, &process.actor))
}

/// Returns the resolved path and the node of a file.
///
/// A symbolic link at the end is followed only if `follow` is true.
fn node(process: &Process, file: &str, follow: bool) -> Done<(String, Node)> {
    let path = process.path(file);
    process.with(|place| {
        let files = &place.machine.files;
        let path = files.reach(&process.actor, &path, follow)?;
        let node = files.nodes.get(&path).cloned().ok_or(Errno::Missing)?;
        Ok((path, node))
    })
}

/// Returns true if `file` is a directory that the user can reach.
fn is_directory(process: &Process, file: &str) -> Result<bool, Halted> {
    Ok(node(process, file, true)?.is_ok_and(|(_, node)| node.is_directory()))
}

/// Runs the verb `cat [FILE]…`; without a file it copies its input.
fn cat(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let options = CommandOptions::parse(arguments, "", &[]);
    let files = if options.rest.is_empty() { vec!["-".to_owned()] } else { options.rest };
    let mut status = 0;
    for file in files {
        match contents(process, io, &file)? {
            Ok(bytes) => process.print(io, bytes)?,
            Err(error) => status = process.fail(io, 1, format!("cat: {file}: {error}"))?,
        }
    }
    Ok(status)
}

/// Runs the command `chmod MODE FILE…`, with an octal or a symbolic mode.
///
/// Options such as `-R` are not simulated.
fn chmod(process: &Process, io: &Io, arguments: &[String]) -> Exit {
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
fn mode_of(text: &str, current: u32) -> Option<u32> {
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
fn chown(process: &Process, io: &Io, program: &str, arguments: &[String]) -> Exit {
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
fn cp(process: &Process, io: &Io, arguments: &[String]) -> Exit {
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

/// Runs the command `dd [if=FILE] [of=FILE] [conv=…] [status=none]`.
///
/// Copies the whole input; block sizes and counts are not simulated.
fn dd(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let operand = |name: &str| arguments.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    let source = operand("if").unwrap_or("-");
    let bytes = match contents(process, io, source)? {
        Ok(bytes) => bytes,
        Err(error) => return process.fail(io, 1, format!("dd: failed to open '{source}': {error}")),
    };
    let count = bytes.len();
    match operand("of") {
        None => process.print(io, bytes)?,
        Some(target) => {
            let (path, mode) = (process.path(target), 0o666 & !process.umask);
            let written = change(process, |place, actor| place.machine.write_file(actor, &path, &bytes, false, mode))?;
            if let Err(error) = written {
                return process.fail(io, 1, format!("dd: failed to open '{target}': {error}"));
            }
        }
    }
    match operand("status") {
        Some("none") => Ok(0),
        _ => process.fail(io, 0, format!("0+1 records in\n0+1 records out\n{count} bytes copied")),
    }
}

/// Runs the command `install [-d] [-D] [-m MODE] [-o OWNER] [-g GROUP] SOURCE… TARGET`.
fn install(process: &Process, io: &Io, arguments: &[String]) -> Exit {
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
        if options.has("D", "") {
            make_all(process, parent(&path), None)?.unwrap_or_default();
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

/// Sets the owner and the group of a new file; an error is ignored.
fn own(process: &Process, file: &str, owner: Option<&str>, group: Option<&str>) -> Result<(), Halted> {
    let path = process.path(file);
    let give = |place: &mut Place<'_>| place.machine.files.change_owner(&process.actor, &path, owner, group);
    process.with(give).map(drop)
}

/// Runs the command `ln -s [-f] [-n] TARGET LINK`.
///
/// Every link is symbolic, with or without `-s`.
fn ln(process: &Process, io: &Io, arguments: &[String]) -> Exit {
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

/// Runs the command `ls [-a] [-A] [-d] [-l] [FILE]…`, which prints one entry per line.
fn ls(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let options = CommandOptions::parse(arguments, "", &[]);
    let files = if options.rest.is_empty() { vec![".".to_owned()] } else { options.rest.clone() };
    let many = files.len() > 1;
    let (mut status, mut text) = (0, String::new());
    for file in files {
        match node(process, &file, true)? {
            Err(error) => status = process.fail(io, 2, format!("ls: cannot access '{file}': {error}"))?,
            Ok((path, node)) if node.is_directory() && !options.has("d", "directory") => {
                let readable = process.with(|place| place.machine.files.permits(&process.actor, &path, 4))?;
                if !readable {
                    status = process.fail(io, 2, format!("ls: cannot open directory '{file}': Permission denied"))?;
                    continue;
                }
                let gap = if text.is_empty() { "" } else { "\n" };
                if many {
                    writeln!(text, "{gap}{file}:").expect("writing to a string does not fail");
                }
                text.push_str(&listed(process, &path, &options)?);
            }
            Ok((_, node)) => text.push_str(&entry(&file, &node, options.has("l", ""))),
        }
    }
    process.print(io, text)?;
    Ok(status)
}

/// Returns the listing of one file or directory.
fn listed(process: &Process, path: &str, options: &CommandOptions) -> Result<String, Halted> {
    let long = options.has("l", "");
    process.with(|place| {
        let files = &place.machine.files;
        let children: Vec<(&str, &Node)> =
            files.children(path).filter(|(name, _)| options.has("aA", "all") || !name.starts_with('.')).collect();
        let mut text = String::new();
        if long {
            let blocks: usize = children.iter().map(|(_, node)| node.size().div_ceil(4096) * 4).sum();
            writeln!(text, "total {blocks}").expect("writing to a string does not fail");
        }
        if options.has("a", "all") {
            for (name, path) in [(".", path), ("..", parent(path))] {
                text.extend(files.nodes.get(path).map(|node| entry(name, node, long)));
            }
        }
        text.extend(children.into_iter().map(|(name, node)| entry(name, node, long)));
        text
    })
}

/// Returns the line of one entry, with its permissions and size if `long`.
fn entry(name: &str, node: &Node, long: bool) -> String {
    if !long {
        return format!("{name}\n");
    }
    let arrow = match &node.kind {
        Kind::Link(target) => format!(" -> {target}"),
        _ => String::new(),
    };
    let when = node.modified.strftime("%b %e %H:%M");
    let links = if node.is_directory() { 2 } else { 1 };
    format!("{} {links} {} {} {} {when} {name}{arrow}\n", permissions(node), node.owner, node.group, node.size())
}

/// Returns the ten characters with which `ls -l` shows type and permissions.
fn permissions(node: &Node) -> String {
    let kind = match node.kind {
        Kind::Directory => 'd',
        Kind::Link(_) => 'l',
        Kind::File(_) | Kind::Program(_) => '-',
    };
    let bits = (0..9).map(|bit| if node.mode & (0o400 >> bit) == 0 { '-' } else { ['r', 'w', 'x'][bit % 3] });
    std::iter::once(kind).chain(bits).collect()
}

/// Runs the command `mkdir [-p] [-m MODE] DIRECTORY…`.
fn mkdir(process: &Process, io: &Io, arguments: &[String]) -> Exit {
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
/// It is counted as a write only if a directory was missing.
fn make_all(process: &Process, directory: &str, mode: Option<u32>) -> Done<()> {
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
        let done = change(process, |place, actor| place.machine.files.make_directory(actor, ancestor, mode))?;
        if done.is_err() {
            return Ok(done);
        }
    }
    Ok(Ok(()))
}

/// Runs the command `mktemp [-d] [TEMPLATE]` and prints the path of the new file.
fn mktemp(process: &Process, io: &Io, arguments: &[String]) -> Exit {
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

/// Runs the command `mv [-T] SOURCE… TARGET`.
fn mv(process: &Process, io: &Io, arguments: &[String]) -> Exit {
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

/// Runs the command `readlink [-f] FILE…`.
///
/// Without `-f` it exits with 1 for a file that is not a link.
fn readlink(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let options = CommandOptions::parse(arguments, "", &[]);
    for file in &options.rest {
        let path = process.path(file);
        let target = process.with(|place| {
            let files = &place.machine.files;
            if options.has("fem", "canonicalize") {
                return files.resolve(&path, true).ok();
            }
            match files.nodes.get(&path).map(|node| &node.kind) {
                Some(Kind::Link(target)) => Some(target.clone()),
                _ => None,
            }
        })?;
        let Some(target) = target else { return Ok(1) };
        process.print(io, format!("{target}\n"))?;
    }
    Ok(0)
}

/// Runs the command `rm [-r] [-f] FILE…`.
fn rm(process: &Process, io: &Io, arguments: &[String]) -> Exit {
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
fn rmdir(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let mut status = 0;
    for directory in arguments {
        let path = process.path(directory);
        if let Err(error) = change(process, |place, actor| place.machine.files.remove(actor, &path))? {
            status = process.fail(io, 1, format!("rmdir: failed to remove '{directory}': {error}"))?;
        }
    }
    Ok(status)
}

/// Runs the command `stat [-L] [-c FORMAT] FILE…`.
///
/// `stat -f` prints the type of the file system only, to detect cgroup v2.
fn stat(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let options = CommandOptions::parse(arguments, "c", &["format", "printf"]);
    if options.has("f", "file-system") {
        let cgroup = options.rest.iter().all(|file| file.starts_with("/sys/fs/cgroup"));
        process.print(io, if cgroup { "cgroup2fs\n" } else { "ext2/ext3\n" })?;
        return Ok(0);
    }
    let mut status = 0;
    for file in &options.rest {
        let (path, node) = match node(process, file, options.has("L", "dereference"))? {
            Ok(found) => found,
            Err(error) => {
                status = process.fail(io, 1, format!("stat: cannot statx '{file}': {error}"))?;
                continue;
            }
        };
        let format = options.value('c', "format");
        let printf = options.value('\0', "printf").map(|format| format.replace("\\n", "\n").replace("\\t", "\t"));
        let ids = process.with(|place| {
            (
                place.machine.account(&node.owner).map_or(0, |account| account.uid),
                place.machine.account(&node.group).map_or(0, |account| account.gid),
            )
        })?;
        let text = match (format, printf) {
            (Some(format), _) => format!("{}\n", described(format, file, &node, ids)),
            (None, Some(format)) => described(&format, file, &node, ids),
            (None, None) => format!("  File: {path}\n  Size: {}\n", node.size()),
        };
        process.print(io, text)?;
    }
    Ok(status)
}

/// Replaces the fields of a `stat` format by the properties of a node.
fn described(format: &str, file: &str, node: &Node, (uid, gid): (u32, u32)) -> String {
    let mut text = String::new();
    let mut characters = format.chars();
    while let Some(c) = characters.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        let value = match characters.next() {
            Some('a') => format!("{:o}", node.mode),
            Some('A') => permissions(node),
            Some('U') => node.owner.clone(),
            Some('G') => node.group.clone(),
            Some('u') => uid.to_string(),
            Some('g') => gid.to_string(),
            Some('s') => node.size().to_string(),
            Some('n') => file.to_owned(),
            Some('Y') => node.modified.as_second().to_string(),
            Some('F') => match &node.kind {
                Kind::Directory => "directory".to_owned(),
                Kind::Link(_) => "symbolic link".to_owned(),
                Kind::File(content) if content.0.is_empty() => "regular empty file".to_owned(),
                Kind::File(_) | Kind::Program(_) => "regular file".to_owned(),
            },
            Some('%') | None => "%".to_owned(),
            Some(_) => "?".to_owned(),
        };
        text.push_str(&value);
    }
    text
}

/// Runs the command `tee [-a] FILE…`, which copies its input to its output and to each file.
fn tee(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let options = CommandOptions::parse(arguments, "", &[]);
    let bytes = io.input.read();
    let mut status = 0;
    for file in &options.rest {
        let path = process.path(file);
        let (append, mode) = (options.has("a", "append"), 0o666 & !process.umask);
        let written = change(process, |place, actor| place.machine.write_file(actor, &path, &bytes, append, mode))?;
        if let Err(error) = written {
            status = process.fail(io, 1, format!("tee: {file}: {error}"))?;
        }
    }
    process.print(io, bytes)?;
    Ok(status)
}

/// Runs the command `touch FILE…`, which creates missing files.
fn touch(process: &Process, io: &Io, arguments: &[String]) -> Exit {
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
