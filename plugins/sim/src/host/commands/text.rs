use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::file::contents;
use super::options::CommandOptions;
use crate::host::io::Io;
use crate::host::process::{Exit, Halted, Process};
use crate::host::state::{Kind, base_name, parent};

/// Runs one of the programs that print, test or filter text.
pub(super) fn run(process: &mut Process, io: &Io, name: &str, arguments: &[String]) -> Exit {
    match name {
        "true" => Ok(0),
        "false" => Ok(1),
        "echo" => echo(process, io, arguments),
        "printf" => printf(process, io, arguments),
        "test" => test(process, io, arguments),
        "[" => bracket(process, io, arguments),
        "grep" => grep(process, io, arguments),
        "basename" => named(process, io, arguments, base_name),
        "dirname" => named(process, io, arguments, |path| if path.contains('/') { parent(path) } else { "." }),
        _ => filter(process, io, name, arguments),
    }
}

/// Runs the command `echo [-n] WORD…`. Escapes are not interpreted.
fn echo(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let silent = arguments.first().is_some_and(|word| word == "-n");
    let words = &arguments[usize::from(silent)..];
    process.print(io, format!("{}{}", words.join(" "), if silent { "" } else { "\n" }))?;
    Ok(0)
}

/// Runs the command `basename` or `dirname`; `part` selects the component of the path.
///
/// A suffix argument is not simulated.
fn named(process: &Process, io: &Io, arguments: &[String], part: fn(&str) -> &str) -> Exit {
    let path = arguments.first().map(String::as_str).unwrap_or_default();
    process.print(io, format!("{}\n", part(path.trim_end_matches('/'))))?;
    Ok(0)
}

/// Runs the command `printf FORMAT [ARGUMENT…]`.
fn printf(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let arguments = arguments.strip_prefix(&["--".to_owned()]).unwrap_or(arguments);
    let Some((format, mut values)) = arguments.split_first() else {
        return process.fail(io, 2, "printf: usage: printf [-v var] format [arguments]");
    };
    let mut text = String::new();
    loop {
        let before = values.len();
        let ended = formatted(format, &mut values, &mut text);
        // The format is repeated as long as it consumes arguments and some remain.
        if ended || values.is_empty() || values.len() == before {
            break;
        }
    }
    process.print(io, text)?;
    Ok(0)
}

/// Formats the arguments once. Returns true if `\c` in the format ends the output.
fn formatted(format: &str, values: &mut &[String], text: &mut String) -> bool {
    let mut characters = format.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some('c') => return true,
                Some(escape) => text.push_str(&escaped(escape, &mut characters)),
                None => text.push('\\'),
            },
            '%' => {
                let mut flags = String::new();
                while let Some(flag) = characters.next_if(|c| "-0123456789. +#".contains(*c)) {
                    flags.push(flag);
                }
                let Some(kind) = characters.next() else { break };
                if kind == '%' {
                    text.push('%');
                    continue;
                }
                let value = values.split_first().map(|(first, rest)| {
                    *values = rest;
                    first.clone()
                });
                text.push_str(&converted(kind, &flags, &value.unwrap_or_default()));
            }
            c => text.push(c),
        }
    }
    false
}

/// Returns the text of the escape sequence that starts with `escape`; octal digits follow in
/// `more`.
fn escaped(escape: char, more: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let c = match escape {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'v' => '\u{b}',
        '\\' => '\\',
        '0'..='7' => {
            let mut digits = escape.to_string();
            while digits.len() < 3 {
                let Some(digit) = more.next_if(|c| ('0'..='7').contains(c)) else { break };
                digits.push(digit);
            }
            let code = u32::from_str_radix(&digits, 8).unwrap_or_default();
            return char::from_u32(code & 0xff).map(String::from).unwrap_or_default();
        }
        other => return format!("\\{other}"),
    };
    c.to_string()
}

/// Returns a value in the conversion `kind`, with its flags, width and precision.
///
/// A value that is not a number counts as 0.
fn converted(kind: char, flags: &str, value: &str) -> String {
    let left = flags.starts_with('-');
    let (width, precision) = flags.trim_start_matches(['-', '0', '+', ' ', '#']).split_once('.').map_or_else(
        || (flags.trim_start_matches(['-', '0', '+', ' ', '#']), None),
        |(width, precision)| (width, precision.parse::<usize>().ok()),
    );
    let width: usize = width.parse().unwrap_or_default();
    let number = || value.trim().parse::<i64>().unwrap_or_default();
    let text = match kind {
        'd' | 'i' | 'u' => number().to_string(),
        'x' => format!("{:x}", number()),
        'X' => format!("{:X}", number()),
        'o' => format!("{:o}", number()),
        'c' => value.chars().take(1).collect(),
        'b' => unescaped(value),
        _ => value.chars().take(precision.unwrap_or(usize::MAX)).collect(),
    };
    let zero = flags.starts_with('0') && kind != 's';
    match (left, zero) {
        (true, _) => format!("{text:<width$}"),
        (_, true) => format!("{text:0>width$}"),
        _ => format!("{text:>width$}"),
    }
}

/// Interprets the escape sequences of a `%b` value.
fn unescaped(value: &str) -> String {
    let mut text = String::new();
    let mut characters = value.chars().peekable();
    while let Some(c) = characters.next() {
        match (c, characters.peek().copied()) {
            ('\\', Some(escape)) => {
                characters.next();
                text.push_str(&escaped(escape, &mut characters));
            }
            (c, _) => text.push(c),
        }
    }
    text
}

/// Runs the command `[ … ]`, which requires the closing bracket.
fn bracket(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    match arguments.split_last() {
        Some((last, inner)) if last == "]" => test(process, io, inner),
        _ => process.fail(io, 2, "sh: [: missing ]"),
    }
}

/// Runs the command `test EXPRESSION`: exits with 0 if it is true, 1 if it is false and 2 after a
/// syntax error.
fn test(process: &Process, io: &Io, arguments: &[String]) -> Exit {
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

/// Runs the command `grep [-F] [-x] [-i] [-v] [-c] [-q] [-s] [-e PATTERN] [FILE]…`.
///
/// Exits with 1 if no line matches, and with 2 if a file cannot be read.
fn grep(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let options = CommandOptions::parse(arguments, "e", &["regexp"]);
    let mut rest = options.rest.clone();
    let pattern = match options.value('e', "regexp") {
        Some(pattern) => pattern.to_owned(),
        None if rest.is_empty() => return process.fail(io, 2, "Usage: grep [OPTION]... PATTERNS [FILE]..."),
        None => rest.remove(0),
    };
    let fixed = options.has("F", "fixed-strings");
    let files = if rest.is_empty() { vec!["-".to_owned()] } else { rest };
    let (mut matched, mut status) = (0_usize, None);
    for file in &files {
        let bytes = match contents(process, io, file)? {
            Ok(bytes) => bytes,
            Err(error) => {
                status = Some(2);
                if !options.has("s", "no-messages") {
                    process.fail(io, 2, format!("grep: {file}: {error}"))?;
                }
                continue;
            }
        };
        let text = String::from_utf8_lossy(&bytes);
        for line in text.lines() {
            if line_matches(&pattern, line, fixed, &options) == options.has("v", "invert-match") {
                continue;
            }
            matched += 1;
            if !options.has("qc", "quiet") {
                let place = if files.len() > 1 { format!("{file}:") } else { String::new() };
                process.print(io, format!("{place}{line}\n"))?;
            }
        }
    }
    if options.has("c", "count") {
        process.print(io, format!("{matched}\n"))?;
    }
    Ok(status.unwrap_or(i32::from(matched == 0)))
}

/// Returns true if the line matches a fixed text or a simple pattern.
///
/// Patterns consist of characters, `^`, `$`, `.`, `*` and a backslash. Classes, groups and
/// alternatives are not simulated.
fn line_matches(pattern: &str, line: &str, fixed: bool, options: &CommandOptions) -> bool {
    let (pattern, line) = if options.has("i", "ignore-case") {
        (pattern.to_lowercase(), line.to_lowercase())
    } else {
        (pattern.to_owned(), line.to_owned())
    };
    if fixed {
        return if options.has("x", "line-regexp") { line == pattern } else { line.contains(&pattern) };
    }
    let start = pattern.starts_with('^') || options.has("x", "line-regexp");
    let end = (pattern.ends_with('$') && !pattern.ends_with("\\$")) || options.has("x", "line-regexp");
    let inner = pattern.trim_start_matches('^');
    let inner = if end { inner.trim_end_matches('$') } else { inner };
    let pieces = pieces(inner);
    let characters: Vec<char> = line.chars().collect();
    let starts = if start { 0..=0 } else { 0..=characters.len() };
    starts.into_iter().any(|at| piece_matches(&pieces, &characters[at..], end))
}

/// Element of a pattern: a character, or `None` for any; true if it repeats.
type Piece = (Option<char>, bool);

/// Parses a pattern without its anchors.
fn pieces(pattern: &str) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        match c {
            '*' if !pieces.is_empty() => {
                if let Some(last) = pieces.last_mut() {
                    last.1 = true;
                }
            }
            '.' => pieces.push((None, false)),
            '\\' => pieces.extend(characters.next().map(|c| (Some(c), false))),
            c => pieces.push((Some(c), false)),
        }
    }
    pieces
}

/// Matches elements at the start of the text. With `end` they must cover all of it.
fn piece_matches(pieces: &[Piece], text: &[char], end: bool) -> bool {
    let fits = |wanted: Option<char>, c: char| wanted.is_none_or(|wanted| wanted == c);
    match pieces {
        [] => !end || text.is_empty(),
        [(wanted, true), rest @ ..] => {
            let run = text.iter().take_while(|c| fits(*wanted, **c)).count();
            (0..=run).any(|taken| piece_matches(rest, &text[taken..], end))
        }
        [(wanted, false), rest @ ..] => {
            text.first().is_some_and(|c| fits(*wanted, *c)) && piece_matches(rest, &text[1..], end)
        }
    }
}

/// Runs a filter such as `head`, `sort`, `cut` or `wc` on its files or its input.
fn filter(process: &Process, io: &Io, name: &str, arguments: &[String]) -> Exit {
    let valued = match name {
        "head" | "tail" => "nc",
        "cut" => "df",
        _ => "",
    };
    let options = CommandOptions::parse(arguments, valued, &["lines", "bytes", "delimiter", "fields"]);
    let files = if options.rest.is_empty() || name == "tr" { vec!["-".to_owned()] } else { options.rest.clone() };
    let mut status = 0;
    for file in &files {
        let bytes = match contents(process, io, file)? {
            Ok(bytes) => bytes,
            Err(error) => {
                let message = match name {
                    "head" | "tail" => format!("{name}: cannot open '{file}' for reading: {error}"),
                    "sort" => format!("sort: cannot read: {file}: {error}"),
                    _ => format!("{name}: {file}: {error}"),
                };
                status = process.fail(io, if name == "sort" { 2 } else { 1 }, message)?;
                continue;
            }
        };
        match filtered(name, &options, file, &bytes) {
            Ok(output) => process.print(io, output)?,
            Err(message) => status = process.fail(io, 1, format!("{name}: {message}"))?,
        }
    }
    Ok(status)
}

/// Returns the output of a filter for one file.
///
/// # Errors
///
/// The message after the program's name, if an operand is missing or the input is not valid.
fn filtered(name: &str, options: &CommandOptions, file: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let text = || String::from_utf8_lossy(bytes).into_owned();
    let lines = |text: &[&str]| text.iter().fold(String::new(), |all, line| all + line + "\n").into_bytes();
    Ok(match name {
        "head" | "tail" => ends(name == "head", options, bytes),
        "sha256sum" => {
            let digest = Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
                write!(text, "{byte:02x}").expect("writing to a string does not fail");
                text
            });
            format!("{digest}  {file}\n").into_bytes()
        }
        "base64" if options.has("d", "decode") => {
            let compact: String = text().split_whitespace().collect();
            STANDARD.decode(compact).map_err(|_| "invalid input".to_owned())?
        }
        "base64" => format!("{}\n", STANDARD.encode(bytes)).into_bytes(),
        "sort" => {
            let text = text();
            let mut sorted: Vec<&str> = text.lines().collect();
            sorted.sort_unstable();
            if options.has("u", "unique") {
                sorted.dedup();
            }
            if options.has("r", "reverse") {
                sorted.reverse();
            }
            lines(&sorted)
        }
        "cut" => {
            let delimiter = options.value('d', "delimiter").unwrap_or("\t").to_owned();
            let field: usize = options.value('f', "fields").and_then(|field| field.parse().ok()).unwrap_or(1);
            let text = text();
            let cut: Vec<&str> =
                text.lines()
                    .map(|line| {
                        if line.contains(&delimiter) {
                            line.split(&delimiter).nth(field - 1).unwrap_or("")
                        } else {
                            line
                        }
                    })
                    .collect();
            lines(&cut)
        }
        "tr" => translated(options, &text())?.into_bytes(),
        _ => counted(options, file, &text()).into_bytes(),
    })
}

/// Returns the first or last lines, or bytes with `-c`.
///
/// `tail -n +N` starts at line N.
fn ends(head: bool, options: &CommandOptions, bytes: &[u8]) -> Vec<u8> {
    if let Some(count) = options.value('c', "bytes").and_then(|count| count.parse::<usize>().ok()) {
        let count = count.min(bytes.len());
        return if head { bytes[..count].to_vec() } else { bytes[bytes.len() - count..].to_vec() };
    }
    let wanted = options.value('n', "lines").unwrap_or("10");
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let count: usize = wanted.trim_start_matches(['+', '-']).parse().unwrap_or(10);
    let range = match (head, wanted.starts_with('+')) {
        (true, _) => 0..count.min(lines.len()),
        (false, true) => count.saturating_sub(1).min(lines.len())..lines.len(),
        (false, false) => lines.len().saturating_sub(count)..lines.len(),
    };
    lines[range].concat()
}

/// Runs the command `tr`, which replaces or deletes characters.
///
/// Ranges such as `a-z` are not simulated.
fn translated(options: &CommandOptions, text: &str) -> Result<String, String> {
    let unescape = |set: &String| set.replace("\\n", "\n").replace("\\t", "\t");
    let from: Vec<char> = options.rest.first().map(unescape).ok_or("missing operand")?.chars().collect();
    if options.has("d", "delete") {
        return Ok(text.chars().filter(|c| !from.contains(c)).collect());
    }
    let to: Vec<char> = options.rest.get(1).map(unescape).ok_or("missing operand")?.chars().collect();
    let replaced = text.chars().map(|c| match from.iter().position(|wanted| *wanted == c) {
        Some(at) => to.get(at).or(to.last()).copied().unwrap_or(c),
        None => c,
    });
    Ok(replaced.collect())
}

/// Returns the line of `wc`: number of lines, words and bytes.
fn counted(options: &CommandOptions, file: &str, text: &str) -> String {
    let lines = text.matches('\n').count();
    let name = if file == "-" { String::new() } else { format!(" {file}") };
    if options.has("l", "lines") {
        return format!("{lines}{name}\n");
    }
    if options.has("c", "bytes") {
        return format!("{}{name}\n", text.len());
    }
    format!("{lines:7} {:7} {:7}{name}\n", text.split_whitespace().count(), text.len())
}
