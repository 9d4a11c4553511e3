use std::collections::BTreeMap;

use super::nft_listing::{json, text};
use super::nft_script::{Mistake, read};
use super::options::CommandOptions;
use crate::host::io::Io;
use crate::host::process::{Exit, Process};
use crate::host::state::{Chain, Ruleset};

/// Runs the command `nft [-j] -f FILE`, `nft [-j] list WHAT`, or one command of a script.
///
/// WHAT is `ruleset`, `tables`, `chains`, `table FAMILY NAME` or `chain FAMILY TABLE NAME`.
pub(super) fn nft(process: &mut Process, io: &Io, arguments: &[String]) -> Exit {
    if !process.actor.is_root() {
        return process.fail(io, 1, "Operation not permitted (you must be root)");
    }
    // Options precede the command: a negative number in it is a word of the script.
    let first = arguments.iter().position(|word| !word.starts_with('-')).unwrap_or(arguments.len());
    let options = CommandOptions::parse(&arguments[..first], "f", &["file"]);
    if let Some(file) = options.value('f', "file") {
        let next = arguments.get(first).map(String::as_str).unwrap_or_default();
        return load(process, io, if file.is_empty() { next } else { file });
    }
    let words: Vec<&str> = arguments[first..].iter().flat_map(|word| word.split_whitespace()).collect();
    if words.first() == Some(&"list") {
        return list(process, io, &words[1..], options.has("j", "json"));
    }
    change(process, io, "", &words.join(" "))
}

/// Runs the command `nft -f FILE`; `-` is the standard input.
fn load(process: &Process, io: &Io, file: &str) -> Exit {
    if file == "-" {
        let text = String::from_utf8_lossy(&io.input.read()).into_owned();
        return change(process, io, "/dev/stdin", &text);
    }
    let path = process.path(file);
    let text = process.with(|place| place.machine.read_file(&process.actor, &path))?;
    match text {
        Ok(bytes) => change(process, io, file, &String::from_utf8_lossy(&bytes)),
        Err(error) => process.fail(io, 1, format!("internal:0:0-0: Error: Could not open file \"{file}\": {error}\n")),
    }
}

/// Applies a script in one transaction: after an error the ruleset is unchanged.
fn change(process: &Process, io: &Io, file: &str, text: &str) -> Exit {
    let done: Result<(), Mistake> = process.change("nft", |place| {
        let mut ruleset = place.machine.ruleset.clone();
        read(text, &mut ruleset)?;
        place.machine.ruleset = ruleset;
        Ok(())
    })?;
    match done {
        Ok(()) => Ok(0),
        Err(mistake) => process.fail(io, 1, mistake.message(file, text)),
    }
}

/// Runs the command `nft list`.
fn list(process: &Process, io: &Io, words: &[&str], as_json: bool) -> Exit {
    let mut ruleset = process.with(|place| place.machine.ruleset.clone())?;
    let found = match words {
        ["ruleset"] => true,
        ["tables"] => {
            ruleset.tables.values_mut().for_each(BTreeMap::clear);
            if !as_json {
                let lines: Vec<String> = ruleset.tables.keys().map(|name| format!("table {name}\n")).collect();
                process.print(io, lines.concat())?;
                return Ok(0);
            }
            true
        }
        ["chains"] => {
            for chain in ruleset.tables.values_mut().flat_map(BTreeMap::values_mut) {
                chain.rules.clear();
            }
            true
        }
        ["table", family, name] => {
            let wanted = format!("{family} {name}");
            ruleset.tables.retain(|name, _| *name == wanted);
            !ruleset.tables.is_empty()
        }
        ["chain", family, table, name] => keep_chain(&mut ruleset, &format!("{family} {table}"), name),
        _ => return change(process, io, "", &format!("list {}", words.join(" "))),
    };
    if !found {
        let line = format!("list {}", words.join(" "));
        let last = words.last().copied().unwrap_or_default();
        let carets = format!("{}{}", " ".repeat(line.len() - last.len()), "^".repeat(last.len()));
        return process.fail(io, 1, format!("Error: No such file or directory\n{line}\n{carets}"));
    }
    let tables = words != ["chains"];
    process.print(io, if as_json { format!("{}\n", json(&ruleset, tables)) } else { text(&ruleset) })?;
    Ok(0)
}

/// Removes everything but one chain. Returns false if it does not exist.
fn keep_chain(ruleset: &mut Ruleset, table: &str, name: &str) -> bool {
    let chain: Option<Chain> = ruleset.tables.get_mut(table).and_then(|chains| chains.remove(name));
    let Some(chain) = chain else { return false };
    ruleset.tables = [(table.to_owned(), [(name.to_owned(), chain)].into())].into();
    true
}
