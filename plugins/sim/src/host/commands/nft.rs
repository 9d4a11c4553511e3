use std::fmt::Write as _;

use serde_json::{Value, json};

use super::nft_script::{Mistake, read};
use super::options::CommandOptions;
use crate::host::io::Io;
use crate::host::nft::{Chain, Clamp, Ruleset};
use crate::host::process::{Exit, Process};

/// Runs the command `nft [-j] -f FILE`, `nft [-j] list ruleset`, `nft [-j] list table FAMILY NAME`,
/// or one command of a script.
pub(super) fn nft(process: &mut Process, io: &Io, arguments: &[String]) -> Exit {
    if !process.actor.is_root() {
        return process.fail(io, 1, "Operation not permitted (you must be root)");
    }
    let options = CommandOptions::parse(arguments, "f", &["file"]);
    if let Some(file) = options.value('f', "file") {
        return load(process, io, file);
    }
    let words: Vec<&str> = options.rest.iter().map(String::as_str).collect();
    let json = options.has("j", "json");
    match words.as_slice() {
        ["list", "ruleset"] => {
            let ruleset = process.with(|place| place.machine.ruleset.clone())?;
            show(process, io, &ruleset, json)
        }
        ["list", "table", family, name] => list_table(process, io, &format!("{family} {name}"), json),
        words => take(process, io, "", &words.join(" ")),
    }
}

/// Runs the command `nft -f FILE`.
fn load(process: &Process, io: &Io, file: &str) -> Exit {
    let path = process.path(file);
    let text = process.with(|place| place.machine.read_file(&process.actor, &path))?;
    match text {
        Ok(bytes) => take(process, io, file, &String::from_utf8_lossy(&bytes)),
        Err(error) => process.fail(io, 1, format!("internal:0:0-0: Error: Could not open file \"{file}\": {error}\n")),
    }
}

/// Applies a script in one transaction: after an error the ruleset is unchanged.
fn take(process: &Process, io: &Io, file: &str, text: &str) -> Exit {
    let done: Result<(), Mistake> = process.change("nft", |place| {
        let mut ruleset = place.machine.ruleset.clone();
        read(text, &mut ruleset)?;
        place.machine.ruleset = ruleset;
        Ok(())
    })?;
    match done {
        Ok(()) => Ok(0),
        Err(mistake) => process.fail(io, 1, mistake.told(file, text)),
    }
}

/// Runs the command `nft list table FAMILY NAME`. `name` is `FAMILY NAME`.
fn list_table(process: &Process, io: &Io, name: &str, json: bool) -> Exit {
    let found = process.with(|place| place.machine.ruleset.tables.get(name).cloned())?;
    let Some(chains) = found else {
        let line = format!("list table {name}");
        let last = name.rsplit(' ').next().unwrap_or_default();
        let carets = format!("{}{}", " ".repeat(line.len() - last.len()), "^".repeat(last.len()));
        return process.fail(io, 1, format!("Error: No such file or directory\n{line}\n{carets}"));
    };
    show(process, io, &Ruleset { tables: [(name.to_owned(), chains)].into() }, json)
}

/// Prints a ruleset as text or as JSON.
fn show(process: &Process, io: &Io, ruleset: &Ruleset, json: bool) -> Exit {
    process.print(io, if json { format!("{}\n", shown(ruleset)) } else { text(ruleset) })?;
    Ok(0)
}

/// Returns a ruleset in nft's own syntax, with tabs as nft indents it.
fn text(ruleset: &Ruleset) -> String {
    let mut text = String::new();
    for (name, chains) in &ruleset.tables {
        writeln!(text, "table {name} {{").expect("a string takes every write");
        text.push_str(&chains.iter().map(|(name, chain)| chain_text(name, chain)).collect::<Vec<_>>().join("\n"));
        text.push_str("}\n");
    }
    text
}

/// Returns one chain in nft's own syntax. Priority -150 is shown as `mangle`.
fn chain_text(name: &str, chain: &Chain) -> String {
    let hook = chain.priority.map(|priority| {
        let priority = if priority == -150 { "mangle".to_owned() } else { priority.to_string() };
        format!("\t\ttype filter hook forward priority {priority}; policy accept;\n")
    });
    let rule = |Clamp { way, device }: &Clamp| {
        format!("\t\t{} \"{device}\" tcp flags syn tcp option maxseg size set rt mtu\n", way.keyword())
    };
    let rules: String = chain.rules.iter().map(rule).collect();
    format!("\tchain {name} {{\n{}{rules}\t}}\n", hook.unwrap_or_default())
}

/// Returns a ruleset as `nft -j list ruleset` prints it.
///
/// Handles are numbered from 1 in each table. The version is that of Debian 13's nftables.
fn shown(ruleset: &Ruleset) -> Value {
    let release = json!({"version": "1.1.3", "release_name": "Commodore Bullmoose #4", "json_schema_version": 1});
    let mut items = vec![json!({ "metainfo": release })];
    for (handle, (table, chains)) in (1..).zip(&ruleset.tables) {
        let (family, table) = table.split_once(' ').unwrap_or(("ip", table));
        items.push(json!({"table": {"family": family, "name": table, "handle": handle}}));
        let mut handle = 0;
        for (name, chain) in chains {
            handle += 1;
            items.push(json!({ "chain": chain_shown(family, table, name, handle, chain) }));
            for rule in &chain.rules {
                handle += 1;
                let expr = expressions(rule);
                items.push(
                    json!({"rule": {"family": family, "table": table, "chain": name, "handle": handle, "expr": expr}}),
                );
            }
        }
    }
    json!({ "nftables": items })
}

/// Returns the `chain` object of the JSON listing.
fn chain_shown(family: &str, table: &str, name: &str, handle: u32, chain: &Chain) -> Value {
    let mut shown = json!({"family": family, "table": table, "name": name, "handle": handle});
    if let Some(priority) = chain.priority {
        shown["type"] = "filter".into();
        shown["hook"] = "forward".into();
        shown["prio"] = priority.into();
        shown["policy"] = "accept".into();
    }
    shown
}

/// Returns the expressions of the only simulated rule, the MSS clamp.
fn expressions(rule: &Clamp) -> Value {
    json!([
        {"match": {"op": "==", "left": {"meta": {"key": rule.way.keyword()}}, "right": rule.device}},
        {"match": {"op": "in", "left": {"payload": {"protocol": "tcp", "field": "flags"}}, "right": "syn"}},
        {"mangle": {"key": {"tcp option": {"name": "maxseg", "field": "size"}}, "value": {"rt": {"key": "mtu"}}}},
    ])
}
