use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::host::state::{
    Chain, Clamp, ConnectionState, FILTER, FilterRule, MANGLE, NftRule, PacketMatch, Ruleset, Statement, shown_prefix,
};

/// Returns a ruleset in nft's own syntax, with tabs as nft indents it.
pub(super) fn text(ruleset: &Ruleset) -> String {
    let mut text = String::new();
    for (name, chains) in &ruleset.tables {
        let rules = chains.values().flat_map(|chain| &chain.rules);
        if rules.into_iter().any(|rule| matches!(rule, NftRule::Filter(rule) if rule.has_extension())) {
            writeln!(text, "# Warning: table {name} is managed by iptables-nft, do not touch!")
                .expect("a string takes every write");
        }
        writeln!(text, "table {name} {{").expect("a string takes every write");
        text.push_str(&chains.iter().map(|(name, chain)| chain_text(name, chain)).collect::<Vec<_>>().join("\n"));
        text.push_str("}\n");
    }
    text
}

/// Returns one chain in nft's own syntax.
fn chain_text(name: &str, chain: &Chain) -> String {
    let hook = chain.priority.map(|priority| {
        let (hook, policy) = (chain.hook.keyword(), chain.policy.keyword());
        format!("\t\ttype filter hook {hook} priority {}; policy {policy};\n", priority_text(priority))
    });
    let rules: Vec<String> = chain.rules.iter().map(rule_text).collect();
    let rules = rules.iter().flat_map(|rule| ["\t\t", rule, "\n"]).collect::<String>();
    format!("\tchain {name} {{\n{}{rules}\t}}\n", hook.unwrap_or_default())
}

/// Returns a priority by its name, if it differs from a named one by 10 at most.
fn priority_text(priority: i32) -> String {
    let named = [("mangle", MANGLE), ("filter", FILTER)].into_iter().find(|(_, value)| priority.abs_diff(*value) <= 10);
    match named.map(|(name, value)| (name, priority - value)) {
        Some((name, 0)) => name.to_owned(),
        Some((name, more)) if more > 0 => format!("{name} + {more}"),
        Some((name, less)) => format!("{name} - {}", -less),
        None => priority.to_string(),
    }
}

fn rule_text(rule: &NftRule) -> String {
    match rule {
        NftRule::Clamp(Clamp { way, device }) => {
            format!("{} \"{device}\" tcp flags syn tcp option maxseg size set rt mtu", way.keyword())
        }
        NftRule::Filter(rule) => {
            let mut words: Vec<String> = rule.matches.iter().map(|part| match_text(part, rule.iptables)).collect();
            words.extend(rule.counter.then(|| "counter packets 0 bytes 0".to_owned()));
            words.extend(statement_text(&rule.statement));
            words.join(" ")
        }
    }
}

fn match_text(part: &PacketMatch, iptables: bool) -> String {
    let not = |negated: &bool| if *negated { "!= " } else { "" };
    match part {
        PacketMatch::Device { way, negated, name } => format!("{} {}\"{name}\"", way.keyword(), not(negated)),
        PacketMatch::Address { source, negated, prefix } => {
            let field = if *source { "saddr" } else { "daddr" };
            format!("ip {field} {}{}", not(negated), shown_prefix(*prefix))
        }
        // The extension of iptables lists the states in another order and negates them in its own
        // way.
        PacketMatch::State { negated, states } if iptables => {
            let words: Vec<&str> = states.iter().rev().map(|state| state.keyword()).collect();
            format!("ct state {}{}", if *negated { "! " } else { "" }, words.join(","))
        }
        PacketMatch::State { negated, states } => {
            let words: Vec<&str> = states.iter().map(|state| state.keyword()).collect();
            format!("ct state {}{}", not(negated), words.join(","))
        }
        PacketMatch::Mark { mask, value } => format!("meta mark & 0x{mask:08x} == 0x{value:08x}"),
        PacketMatch::Port { protocol, port } => format!("{protocol} dport {port}"),
    }
}

fn statement_text(statement: &Statement) -> Option<String> {
    Some(match statement {
        Statement::Accept => "accept".to_owned(),
        Statement::Drop => "drop".to_owned(),
        Statement::Reject => "reject".to_owned(),
        Statement::Return => "return".to_owned(),
        Statement::Jump(target) => format!("jump {target}"),
        Statement::SetMark { mask, value } => format!("meta mark set mark and 0x{:x} xor 0x{value:x}", !mask),
        Statement::Continue => return None,
    })
}

/// Returns a ruleset as `nft -j list` prints it, without the table objects if `tables` is unset.
///
/// The rules of a table follow all of its chains. Handles are numbered from 1 in each table. The
/// version is that of Debian 13's nftables.
pub(super) fn json(ruleset: &Ruleset, tables: bool) -> Value {
    let release = json!({"version": "1.1.3", "release_name": "Commodore Bullmoose #4", "json_schema_version": 1});
    let mut items = vec![json!({ "metainfo": release })];
    for (number, (table, chains)) in (1..).zip(&ruleset.tables) {
        let (family, table) = table.split_once(' ').unwrap_or(("ip", table));
        if tables {
            items.push(json!({"table": {"family": family, "name": table, "handle": number}}));
        }
        let (mut rules, mut handle) = (Vec::new(), 0);
        for (name, chain) in chains {
            handle += 1;
            items.push(json!({ "chain": chain_json(family, table, name, handle, chain) }));
            for rule in &chain.rules {
                handle += 1;
                let expr = expressions(rule);
                rules.push(
                    json!({"rule": {"family": family, "table": table, "chain": name, "handle": handle, "expr": expr}}),
                );
            }
        }
        items.append(&mut rules);
    }
    json!({ "nftables": items })
}

/// Returns the `chain` object of the JSON listing.
fn chain_json(family: &str, table: &str, name: &str, handle: u32, chain: &Chain) -> Value {
    let mut shown = json!({"family": family, "table": table, "name": name, "handle": handle});
    if let Some(priority) = chain.priority {
        shown["type"] = "filter".into();
        shown["hook"] = chain.hook.keyword().into();
        shown["prio"] = priority.into();
        shown["policy"] = chain.policy.keyword().into();
    }
    shown
}

/// Returns the expressions of a rule.
fn expressions(rule: &NftRule) -> Value {
    match rule {
        NftRule::Clamp(rule) => json!([
            {"match": {"op": "==", "left": {"meta": {"key": rule.way.keyword()}}, "right": rule.device}},
            {"match": {"op": "in", "left": {"payload": {"protocol": "tcp", "field": "flags"}}, "right": "syn"}},
            {"mangle": {"key": {"tcp option": {"name": "maxseg", "field": "size"}}, "value": {"rt": {"key": "mtu"}}}},
        ]),
        NftRule::Filter(rule) => {
            let matches = rule.matches.iter().map(|part| match_json(part, rule.iptables));
            let counter = rule.counter.then(|| json!({"counter": {"packets": 0, "bytes": 0}}));
            matches.chain(counter).chain(statement_json(rule)).collect()
        }
    }
}

fn match_json(part: &PacketMatch, iptables: bool) -> Value {
    let is = |negated: &bool| if *negated { "!=" } else { "==" };
    let compared = |op: &str, left: Value, right: Value| json!({"match": {"op": op, "left": left, "right": right}});
    match part {
        PacketMatch::Device { way, negated, name } => {
            compared(is(negated), json!({"meta": {"key": way.keyword()}}), name.as_str().into())
        }
        PacketMatch::Address { source, negated, prefix } => {
            let field = if *source { "saddr" } else { "daddr" };
            let right = match prefix.prefix_len() {
                32 => prefix.addr().to_string().into(),
                length => json!({"prefix": {"addr": prefix.addr(), "len": length}}),
            };
            compared(is(negated), json!({"payload": {"protocol": "ip", "field": field}}), right)
        }
        PacketMatch::State { .. } if iptables => json!({"xt": {"type": "match", "name": "conntrack"}}),
        PacketMatch::State { negated, states } => {
            let mut words: Vec<Value> = states.iter().map(|state: &ConnectionState| state.keyword().into()).collect();
            let right = if words.len() == 1 { words.remove(0) } else { words.into() };
            compared(if *negated { "!=" } else { "in" }, json!({"ct": {"key": "state"}}), right)
        }
        PacketMatch::Mark { mask, value } => {
            compared("==", json!({"&": [{"meta": {"key": "mark"}}, mask]}), (*value).into())
        }
        PacketMatch::Port { protocol, port } => {
            compared("==", json!({"payload": {"protocol": protocol, "field": "dport"}}), (*port).into())
        }
    }
}

fn statement_json(rule: &FilterRule) -> Option<Value> {
    Some(match &rule.statement {
        Statement::Accept => json!({ "accept": null }),
        Statement::Drop => json!({ "drop": null }),
        Statement::Reject if rule.iptables => json!({"xt": {"type": "target", "name": "REJECT"}}),
        Statement::Reject => json!({"reject": {"type": "icmpx", "expr": "port-unreachable"}}),
        Statement::Return => json!({ "return": null }),
        Statement::Jump(target) => json!({ "jump": { "target": target } }),
        Statement::SetMark { .. } => json!({"xt": {"type": "target", "name": "MARK"}}),
        Statement::Continue => return None,
    })
}
