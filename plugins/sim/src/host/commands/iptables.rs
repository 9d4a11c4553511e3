use std::collections::BTreeMap;

use crate::host::io::Io;
use crate::host::process::{Exit, Process};
use crate::host::state::{
    Chain, ChainPolicy, ConnectionState, FilterRule, Hook, NftRule, PacketMatch, Ruleset, Statement, Way, read_prefix,
};

/// Table of nftables that contains the chains of `iptables -t filter`.
const TABLE: &str = "ip filter";
/// Chains that every table `filter` has, with their hooks.
const BUILT_IN: [(&str, Hook); 3] = [("INPUT", Hook::Input), ("FORWARD", Hook::Forward), ("OUTPUT", Hook::Output)];
/// Start of the messages of the program itself.
const PROGRAM: &str = "iptables v1.8.11 (nf_tables)";
/// Message for a chain or a target that does not exist.
const NO_CHAIN: &str = "iptables: No chain/target/match by that name.";
/// Message for a rule that does not exist.
const NO_RULE: &str = "iptables: Bad rule (does a matching rule exist in that chain?).";

/// Error of a command: the message and the exit status.
type IptablesError = (String, i32);

/// Runs the command `iptables [-w] [-t filter] -P|-S|-A|-I|-D|-C|-N|-F|-X …`.
///
/// The rules are those of nftables, as with Debian's `iptables-nft`. Conditions are `-i`, `-o`,
/// `-s`, `-d`, `-m conntrack --ctstate` and `-m mark --mark`; targets are `ACCEPT`, `DROP`,
/// `RETURN`, `REJECT`, `MARK` and chains. Other tables are refused.
pub(super) fn iptables(process: &mut Process, io: &Io, arguments: &[String]) -> Exit {
    if !process.actor.is_root() {
        let message = "Could not fetch rule set generation id: Permission denied (you must be root)";
        return process.fail(io, 4, format!("{PROGRAM}: {message}"));
    }
    let words = match without_options(arguments) {
        Ok(words) => words,
        Err((message, status)) => return process.fail(io, status, message),
    };
    let Some((command, rest)) = words.split_first() else {
        return process.fail(io, 2, usage("no command specified"));
    };
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    if matches!(command.as_str(), "-S" | "--list-rules" | "-C" | "--check") {
        let ruleset = process.with(|place| place.machine.ruleset.clone())?;
        let shown = if command.starts_with("-S") || command == "--list-rules" {
            listing(&ruleset, rest.first().copied())
        } else {
            position(&ruleset, &rest).map(|_| String::new())
        };
        return match shown {
            Ok(text) => process.print(io, text).map(|()| 0),
            Err((message, status)) => process.fail(io, status, message),
        };
    }
    let done = process.change("iptables", |place| change(&mut place.machine.ruleset, command, &rest))?;
    match done {
        Ok(()) => Ok(0),
        Err((message, status)) => process.fail(io, status, message),
    }
}

/// Removes `-w`, `-n` and `-t filter`.
fn without_options(arguments: &[String]) -> Result<Vec<String>, IptablesError> {
    let mut words = Vec::new();
    let mut arguments = arguments.iter().peekable();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-w" | "--wait" => drop(arguments.next_if(|word| word.parse::<u32>().is_ok())),
            "-t" | "--table" => match arguments.next().map(String::as_str) {
                Some("filter") => {}
                table => {
                    let message = format!("{PROGRAM}: table '{}' is not simulated", table.unwrap_or_default());
                    return Err((message, 3));
                }
            },
            _ => words.push(argument.clone()),
        }
    }
    Ok(words)
}

fn usage(problem: &str) -> String {
    format!("{PROGRAM}: {problem}\nTry `iptables -h' or 'iptables --help' for more information.")
}

/// Applies a command that changes the table.
fn change(ruleset: &mut Ruleset, command: &str, rest: &[&str]) -> Result<(), IptablesError> {
    let missing = || (NO_CHAIN.to_owned(), 1);
    match (command, rest) {
        ("-P" | "--policy", [name, policy]) => {
            let is_built_in = BUILT_IN.iter().any(|(chain, _)| chain == name);
            let policy = match *policy {
                "ACCEPT" => Some(ChainPolicy::Accept),
                "DROP" => Some(ChainPolicy::Drop),
                _ => None,
            };
            let chain = chain(ruleset, name).filter(|_| is_built_in);
            let chain = chain.ok_or_else(|| ("iptables: Bad built-in chain name.".to_owned(), 1))?;
            let bad = || ("iptables: Bad policy name. Run `dmesg' for more information.".to_owned(), 1);
            chain.policy = policy.ok_or_else(bad)?;
        }
        ("-A" | "--append", [name, words @ ..]) => {
            let rule = rule(ruleset, words)?;
            chain(ruleset, name).ok_or_else(missing)?.rules.push(rule);
        }
        ("-I" | "--insert", [name, words @ ..]) => {
            let number = words.first().and_then(|word| word.parse::<usize>().ok());
            let rule = rule(ruleset, if number.is_some() { &words[1..] } else { words })?;
            let rules = &mut chain(ruleset, name).ok_or_else(missing)?.rules;
            let at = number.unwrap_or(1).saturating_sub(1);
            if at > rules.len() {
                return Err(("iptables: Index of insertion too big.".to_owned(), 1));
            }
            rules.insert(at, rule);
        }
        ("-D" | "--delete", [name, ..]) => {
            let at = position(ruleset, rest)?;
            chain(ruleset, name).ok_or_else(missing)?.rules.remove(at);
        }
        ("-N" | "--new-chain", [name]) => {
            if BUILT_IN.iter().any(|(chain, _)| chain == name) || chain(ruleset, name).is_some() {
                return Err(("iptables: Chain already exists.".to_owned(), 1));
            }
            table(ruleset).insert((*name).to_owned(), Chain::default());
        }
        ("-F" | "--flush", []) => {
            for chain in table(ruleset).values_mut() {
                chain.rules.clear();
            }
        }
        ("-F" | "--flush", [name]) => chain(ruleset, name).ok_or_else(missing)?.rules.clear(),
        ("-X" | "--delete-chain", [name]) => {
            let is_target = table(ruleset).values().flat_map(|chain| &chain.rules).any(|rule| jumps_to(rule, name));
            if is_target {
                return Err((format!("{PROGRAM}:  CHAIN_DEL failed (Device or resource busy): chain {name}"), 4));
            }
            table(ruleset).remove(*name).ok_or_else(missing)?;
        }
        _ => return Err((usage(&format!("Unknown arg \"{command}\"")), 2)),
    }
    Ok(())
}

fn table(ruleset: &mut Ruleset) -> &mut BTreeMap<String, Chain> {
    ruleset.tables.entry(TABLE.to_owned()).or_default()
}

/// Returns a chain. A chain of the table that does not exist yet is added, if it is a built-in one.
fn chain<'a>(ruleset: &'a mut Ruleset, name: &str) -> Option<&'a mut Chain> {
    match BUILT_IN.iter().find(|(chain, _)| *chain == name) {
        Some((_, hook)) => {
            let new = || Chain::filter(*hook, ChainPolicy::Accept);
            Some(table(ruleset).entry(name.to_owned()).or_insert_with(new))
        }
        None => ruleset.tables.get_mut(TABLE)?.get_mut(name),
    }
}

fn jumps_to(rule: &NftRule, name: &str) -> bool {
    matches!(rule, NftRule::Filter(FilterRule { statement: Statement::Jump(target), .. }) if target == name)
}

/// Returns the index of the rule that the words after `-D` or `-C` describe, by number or content.
fn position(ruleset: &Ruleset, words: &[&str]) -> Result<usize, IptablesError> {
    let Some((name, words)) = words.split_first() else { return Err((usage("chain name is missing"), 2)) };
    let missing = || (NO_RULE.to_owned(), 1);
    let rules = ruleset.tables.get(TABLE).and_then(|table| table.get(*name)).map(|chain| chain.rules.as_slice());
    let rules = rules.unwrap_or_default();
    if let [number] = words
        && let Ok(number) = number.parse::<usize>()
    {
        return (1..=rules.len()).contains(&number).then(|| number - 1).ok_or_else(missing);
    }
    let wanted = rule(ruleset, words)?;
    rules.iter().position(|rule| *rule == wanted).ok_or_else(missing)
}

/// Reads the conditions and the target of a rule.
fn rule(ruleset: &Ruleset, words: &[&str]) -> Result<NftRule, IptablesError> {
    let (mut devices, mut addresses, mut extensions) = ([None, None], [None, None], Vec::new());
    let (mut statement, mut negated) = (Statement::Continue, false);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value =
            || words.next().copied().ok_or_else(|| (usage(&format!("option \"{word}\" requires an argument")), 2));
        match *word {
            "!" => {
                negated = true;
                continue;
            }
            "-i" | "--in-interface" => devices[0] = Some(device(Way::In, negated, value()?)),
            "-o" | "--out-interface" => devices[1] = Some(device(Way::Out, negated, value()?)),
            "-s" | "--source" => addresses[0] = Some(address(true, negated, value()?)?),
            "-d" | "--destination" => addresses[1] = Some(address(false, negated, value()?)?),
            "-m" | "--match" => {
                let module = value()?;
                if !["conntrack", "mark", "comment"].contains(&module) {
                    return Err((format!("{PROGRAM}: Couldn't load match `{module}':No such file or directory\n"), 2));
                }
            }
            "--ctstate" => {
                let states = value()?;
                let bad = || (usage(&format!("Bad ctstate \"{states}\"")), 2);
                let states = ConnectionState::list(states).ok_or_else(bad)?;
                extensions.push(PacketMatch::State { negated, states });
            }
            "--mark" => {
                let (value, mask) = mark(value()?)?;
                extensions.push(PacketMatch::Mark { mask, value });
            }
            "-j" | "--jump" => statement = target(ruleset, value()?)?,
            "--set-mark" | "--set-xmark" => {
                let (value, mask) = mark(value()?)?;
                statement = Statement::SetMark { mask, value };
            }
            "--comment" | "--reject-with" => drop(value()?),
            _ => return Err((usage(&format!("unknown option \"{word}\"")), 2)),
        }
        negated = false;
    }
    let matches = devices.into_iter().chain(addresses).flatten().chain(extensions).collect();
    Ok(NftRule::Filter(FilterRule::iptables(matches, statement)))
}

/// Reads the name of a device, in which `+` at the end is any text.
fn device(way: Way, negated: bool, name: &str) -> PacketMatch {
    let name = name.strip_suffix('+').map_or_else(|| name.to_owned(), |start| format!("{start}*"));
    PacketMatch::Device { way, negated, name }
}

fn address(source: bool, negated: bool, text: &str) -> Result<PacketMatch, IptablesError> {
    let prefix = read_prefix(text).ok_or_else(|| (usage(&format!("host/network `{text}' not found")), 2))?;
    Ok(PacketMatch::Address { source, negated, prefix })
}

/// Reads `VALUE[/MASK]`, both decimal or hexadecimal.
fn mark(text: &str) -> Result<(u32, u32), IptablesError> {
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    let (value, mask) = text.split_once('/').unwrap_or((text, "0xffffffff"));
    let bad = |_| (usage(&format!("Bad mark value \"{text}\"")), 2);
    Ok((number(value).map_err(bad)?, number(mask).map_err(bad)?))
}

/// Reads a target. A chain must exist; the value of `MARK` follows in an option of its own.
fn target(ruleset: &Ruleset, name: &str) -> Result<Statement, IptablesError> {
    Ok(match name {
        "ACCEPT" => Statement::Accept,
        "DROP" => Statement::Drop,
        "RETURN" => Statement::Return,
        "REJECT" => Statement::Reject,
        "MARK" => Statement::SetMark { mask: u32::MAX, value: 0 },
        name if ruleset.tables.get(TABLE).is_some_and(|table| table.contains_key(name)) => {
            Statement::Jump(name.to_owned())
        }
        name => return Err((usage(&format!("Chain '{name}' does not exist")), 2)),
    })
}

/// Returns the output of `iptables -S [CHAIN]`.
fn listing(ruleset: &Ruleset, name: Option<&str>) -> Result<String, IptablesError> {
    let empty = BTreeMap::new();
    let table = ruleset.tables.get(TABLE).unwrap_or(&empty);
    let is_shown = |chain: &str| name.is_none_or(|name| name == chain);
    let built_in = BUILT_IN.iter().map(|(chain, _)| *chain).filter(|chain| is_shown(chain));
    let own = table.keys().map(String::as_str).filter(|chain| BUILT_IN.iter().all(|(other, _)| other != chain));
    let own = own.filter(|chain| is_shown(chain));
    let names: Vec<&str> = built_in.chain(own).collect();
    if names.is_empty() {
        return Err((NO_CHAIN.to_owned(), 1));
    }
    let declaration = |name: &&str| {
        let policy = table.get(*name).map(|chain| chain.policy).unwrap_or_default().keyword().to_ascii_uppercase();
        let is_built_in = BUILT_IN.iter().any(|(chain, _)| chain == name);
        if is_built_in { format!("-P {name} {policy}") } else { format!("-N {name}") }
    };
    let rules = |name: &&str| table.get(*name).map(|chain| chain.rules.as_slice()).unwrap_or_default();
    let rules =
        names.iter().flat_map(|name| rules(name).iter().map(move |rule| format!("-A {name}{}", rule_text(rule))));
    let lines: Vec<String> = names.iter().map(declaration).chain(rules).collect();
    Ok(lines.join("\n") + "\n")
}

/// Returns a rule as `iptables -S` prints it: addresses, devices, extensions, target.
fn rule_text(rule: &NftRule) -> String {
    let NftRule::Filter(rule) = rule else { return " # an MSS clamp of nft".to_owned() };
    let rank = |part: &&PacketMatch| match part {
        PacketMatch::Address { .. } => 0,
        PacketMatch::Device { .. } => 1,
        _ => 2,
    };
    let mut matches: Vec<&PacketMatch> = rule.matches.iter().collect();
    matches.sort_by_key(rank);
    matches.into_iter().map(match_text).collect::<String>() + &target_text(&rule.statement)
}

fn match_text(part: &PacketMatch) -> String {
    let not = |negated: &bool| if *negated { " !" } else { "" };
    match part {
        PacketMatch::Device { way, negated, name } => {
            let option = if *way == Way::In { "-i" } else { "-o" };
            format!("{} {option} {}", not(negated), name.replace('*', "+"))
        }
        PacketMatch::Address { source, negated, prefix } => {
            format!("{} {} {prefix}", not(negated), if *source { "-s" } else { "-d" })
        }
        PacketMatch::State { negated, states } => {
            let order = [
                ConnectionState::Invalid,
                ConnectionState::New,
                ConnectionState::Related,
                ConnectionState::Established,
            ];
            let words =
                order.iter().filter(|state| states.contains(state)).map(|state| state.keyword().to_ascii_uppercase());
            format!(" -m conntrack{} --ctstate {}", not(negated), words.collect::<Vec<_>>().join(","))
        }
        PacketMatch::Mark { mask, value } => format!(" -m mark --mark 0x{value:x}/0x{mask:x}"),
        PacketMatch::Port { protocol, port } => format!(" -p {protocol} -m {protocol} --dport {port}"),
    }
}

fn target_text(statement: &Statement) -> String {
    match statement {
        Statement::Accept => " -j ACCEPT".to_owned(),
        Statement::Drop => " -j DROP".to_owned(),
        Statement::Reject => " -j REJECT --reject-with icmp-port-unreachable".to_owned(),
        Statement::Return => " -j RETURN".to_owned(),
        Statement::Jump(target) => format!(" -j {target}"),
        Statement::SetMark { mask, value } => format!(" -j MARK --set-xmark 0x{value:x}/0x{mask:x}"),
        Statement::Continue => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_listed_in_the_form_of_the_real_program() {
        let mut ruleset = Ruleset::default();
        assert_eq!(listing(&ruleset, Some("FORWARD")).as_deref(), Ok("-P FORWARD ACCEPT\n"));
        for line in [
            "-P FORWARD DROP",
            "-N own",
            "-A own -i tailscale0 -j MARK --set-mark 0x40000/0xff0000",
            "-A own -m mark --mark 0x40000/0xff0000 -j ACCEPT",
            "-A own -o tailscale0 -s 100.64.0.0/10 -j DROP",
            "-A own ! -i tailscale0 -s 100.115.92.0/23 -j RETURN",
            "-A FORWARD -s 10.1.2.3 -j REJECT",
            "-I FORWARD -j own",
            "-I FORWARD 2 -i eth+ -d 10.0.0.0/8 -m conntrack ! --ctstate ESTABLISHED,RELATED -j ACCEPT",
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            change(&mut ruleset, words[0], &words[1..]).unwrap_or_else(|error| panic!("{line}: {error:?}"));
        }
        let all = "-P INPUT ACCEPT\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n-N own\n-A FORWARD -j own\n\
            -A FORWARD -d 10.0.0.0/8 -i eth+ -m conntrack ! --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
            -A FORWARD -s 10.1.2.3/32 -j REJECT --reject-with icmp-port-unreachable\n\
            -A own -i tailscale0 -j MARK --set-xmark 0x40000/0xff0000\n\
            -A own -m mark --mark 0x40000/0xff0000 -j ACCEPT\n\
            -A own -s 100.64.0.0/10 -o tailscale0 -j DROP\n-A own -s 100.115.92.0/23 ! -i tailscale0 -j RETURN\n";
        assert_eq!(listing(&ruleset, None).as_deref(), Ok(all));
        assert_eq!(position(&ruleset, &["FORWARD", "-j", "own"]), Ok(0));
        for (line, message, status) in [
            ("-P nothing DROP", "iptables: Bad built-in chain name.", 1),
            ("-P FORWARD bogus", "iptables: Bad policy name. Run `dmesg' for more information.", 1),
            ("-A nothing -j ACCEPT", NO_CHAIN, 1),
            ("-D FORWARD -i lo -j ACCEPT", NO_RULE, 1),
            ("-N own", "iptables: Chain already exists.", 1),
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(change(&mut ruleset, words[0], &words[1..]), Err((message.to_owned(), status)), "{line}");
        }
        change(&mut ruleset, "-D", &["FORWARD", "1"]).expect("deleted");
        change(&mut ruleset, "-F", &["own"]).expect("flushed");
        change(&mut ruleset, "-X", &["own"]).expect("deleted");
        assert!(listing(&ruleset, Some("own")).is_err());
    }
}
