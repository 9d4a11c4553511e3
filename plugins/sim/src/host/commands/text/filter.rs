use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::host::commands::file::contents;
use crate::host::commands::options::CommandOptions;
use crate::host::io::Io;
use crate::host::process::{Exit, Process};

/// Runs a filter such as `head`, `sort`, `cut` or `wc` on its files or its input.
pub(super) fn filter(process: &Process, io: &Io, name: &str, arguments: &[String]) -> Exit {
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
