use crate::host::commands::file::contents;
use crate::host::commands::options::CommandOptions;
use crate::host::io::Io;
use crate::host::process::{Exit, Process};

/// Runs the command `grep [-F] [-x] [-i] [-v] [-c] [-q] [-s] [-e PATTERN] [FILE]…`.
///
/// Exits with 1 if no line matches, and with 2 if a file cannot be read.
pub(super) fn grep(process: &Process, io: &Io, arguments: &[String]) -> Exit {
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
