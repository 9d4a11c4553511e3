use crate::host::io::Io;
use crate::host::process::{Exit, Halted, Process};
use crate::host::state::Kind;

/// Runs the command `[ … ]`, which requires the closing bracket.
pub(super) fn bracket(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    match arguments.split_last() {
        Some((last, inner)) if last == "]" => test(process, io, inner),
        _ => process.fail(io, 2, "sh: [: missing ]"),
    }
}

/// Runs the command `test EXPRESSION`: exits with 0 if it is true, 1 if it is false and 2 after a
/// syntax error.
pub(super) fn test(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match alternatives(process, &words)? {
        Some(holds) => Ok(i32::from(!holds)),
        None => process.fail(io, 2, format!("sh: test: {}: unexpected operator", arguments.join(" "))),
    }
}

/// Value of a condition; `None` after a syntax error.
type Verdict = Result<Option<bool>, Halted>;

/// Evaluates conditions joined by `-o`, each of them joined by `-a`.
fn alternatives(process: &Process, words: &[&str]) -> Verdict {
    if words.len() > 4 || words.len() == 4 && words[0] == "!" {
        for (connector, stop) in [("-o", true), ("-a", false)] {
            if let Some(at) = words.iter().position(|word| *word == connector) {
                let left = alternatives(process, &words[..at])?;
                return if left == Some(stop) { Ok(left) } else { alternatives(process, &words[at + 1..]) };
            }
        }
    }
    condition(process, words)
}

/// Evaluates one condition of `test`.
fn condition(process: &Process, words: &[&str]) -> Verdict {
    Ok(match words {
        [left, operator, right] if compared(left, operator, right).is_some() => compared(left, operator, right),
        ["!", rest @ ..] => condition(process, rest)?.map(|holds| !holds),
        [word] | ["-n", word] => Some(!word.is_empty()),
        ["-z", word] => Some(word.is_empty()),
        // No standard stream of a simulated program is a terminal.
        [] | ["-t", _] => Some(false),
        [operator, file] => return file_condition(process, operator, file),
        _ => None,
    })
}

/// Compares two texts or, with `-eq` and its relatives, two integers.
fn compared(left: &str, operator: &str, right: &str) -> Option<bool> {
    let numbers = || Some((left.trim().parse::<i64>().ok()?, right.trim().parse::<i64>().ok()?));
    match operator {
        "=" | "==" => Some(left == right),
        "!=" => Some(left != right),
        "-eq" => numbers().map(|(left, right)| left == right),
        "-ne" => numbers().map(|(left, right)| left != right),
        "-lt" => numbers().map(|(left, right)| left < right),
        "-le" => numbers().map(|(left, right)| left <= right),
        "-gt" => numbers().map(|(left, right)| left > right),
        "-ge" => numbers().map(|(left, right)| left >= right),
        _ => None,
    }
}

/// Evaluates a file test such as `-e` or `-x`.
///
/// Files of `/proc` and `/sys` that the simulated kernel provides exist and are readable.
fn file_condition(process: &Process, operator: &str, file: &str) -> Verdict {
    let path = process.path(file);
    process.with(|place| {
        let files = &place.machine.files;
        let special = place.machine.read_file(&process.actor, &path).is_ok();
        let node = files.reach(&process.actor, &path, true).ok().and_then(|path| files.nodes.get(&path));
        let direct = files.reach(&process.actor, &path, false).ok().and_then(|path| files.nodes.get(&path));
        let permits = |bit| files.permits(&process.actor, &path, bit);
        Some(match operator {
            "-e" => node.is_some() || special,
            "-f" => {
                node.is_some_and(|node| matches!(node.kind, Kind::File(_) | Kind::Program(_)))
                    || (node.is_none() && special)
            }
            "-d" => node.is_some_and(crate::host::state::Node::is_directory),
            "-L" | "-h" => direct.is_some_and(|node| matches!(node.kind, Kind::Link(_))),
            "-s" => node.is_some_and(|node| node.size() > 0),
            "-r" => permits(4) || (node.is_none() && special),
            "-w" => permits(2),
            "-x" => permits(1),
            _ => return None,
        })
    })
}
