use std::fmt::Write as _;

use super::access::node;
use crate::host::commands::options::CommandOptions;
use crate::host::io::Io;
use crate::host::process::{Exit, Halted, Process};
use crate::host::state::{Kind, Node, parent};

/// Runs the command `ls [-a] [-A] [-d] [-l] [FILE]…`, which prints one entry per line.
pub(super) fn ls(process: &Process, io: &Io, arguments: &[String]) -> Exit {
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
pub(super) fn permissions(node: &Node) -> String {
    let kind = match node.kind {
        Kind::Directory => 'd',
        Kind::Link(_) => 'l',
        Kind::File(_) | Kind::Program(_) => '-',
    };
    let bits = (0..9).map(|bit| if node.mode & (0o400 >> bit) == 0 { '-' } else { ['r', 'w', 'x'][bit % 3] });
    std::iter::once(kind).chain(bits).collect()
}

/// Runs the command `readlink [-f] FILE…`.
///
/// Without `-f` it exits with 1 for a file that is not a link.
pub(super) fn readlink(process: &Process, io: &Io, arguments: &[String]) -> Exit {
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

/// Runs the command `stat [-L] [-c FORMAT] FILE…`.
///
/// `stat -f` prints the type of the file system only, to detect cgroup v2.
pub(super) fn stat(process: &Process, io: &Io, arguments: &[String]) -> Exit {
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
