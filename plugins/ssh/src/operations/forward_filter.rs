//! Firewall rules for forwarded packets, as `nft -j list ruleset` prints them.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::Deserialize;
use serde_json::Value;

/// Name of tailscaled's interface.
const TUNNEL: &str = "tailscale0";
/// Maximum depth of jumps, which the kernel limits too.
const MAX_JUMPS: usize = 16;

/// A packet that the host must forward: the first one of a connection, or of the reply to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ForwardedPacket {
    /// True if it comes out of the tunnel.
    pub(crate) from_tunnel: bool,
    /// True if it goes into the tunnel.
    pub(crate) to_tunnel: bool,
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    /// True if it answers a packet that the host has forwarded.
    pub(crate) is_reply: bool,
}

/// A base chain that drops a packet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DroppingChain {
    /// Family and name of the table, such as `inet filter`.
    pub(crate) table: String,
    /// Name of the chain.
    pub(crate) chain: String,
    /// True if the packet reaches the policy; false if a rule drops it.
    pub(crate) by_policy: bool,
}

/// Output of `nft -j list ruleset`.
#[derive(Debug, Deserialize)]
pub(crate) struct FirewallRules {
    nftables: Vec<FirewallItem>,
}

#[derive(Debug, Deserialize)]
struct FirewallItem {
    chain: Option<FirewallChain>,
    rule: Option<FirewallRule>,
}

#[derive(Debug, Deserialize)]
struct FirewallChain {
    family: String,
    table: String,
    name: String,
    hook: Option<String>,
    policy: Option<String>,
}

#[derive(Debug, Deserialize)]
struct FirewallRule {
    family: String,
    table: String,
    chain: String,
    expr: Vec<Value>,
}

/// Decision of a chain. A packet about which it is not certain counts as accepted, because a match
/// that cannot be evaluated here is not a reason to report a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Accept,
    Drop,
    /// The next rule, or the rule after the jump.
    Continue,
    /// The end of the chain that was jumped to.
    Return,
}

impl FirewallRules {
    /// Base chains that certainly drop a packet. Each chain of the hook must let it pass.
    pub(crate) fn dropping(&self, packet: &ForwardedPacket) -> Vec<DroppingChain> {
        let chains = self.nftables.iter().filter_map(|item| item.chain.as_ref());
        let base = chains.filter(|chain| chain.hook.as_deref() == Some("forward"));
        let base = base.filter(|chain| ["ip", "inet"].contains(&chain.family.as_str()));
        let dropping = |chain: &FirewallChain| {
            let by_policy = match self.decide((&chain.family, &chain.table, &chain.name), packet, 0) {
                Verdict::Drop => false,
                Verdict::Continue | Verdict::Return if chain.policy.as_deref() == Some("drop") => true,
                _ => return None,
            };
            let table = format!("{} {}", chain.family, chain.table);
            Some(DroppingChain { table, chain: chain.name.clone(), by_policy })
        };
        base.filter_map(dropping).collect()
    }

    /// True if a table has a chain of this name.
    pub(crate) fn has_chain(&self, table: &str, name: &str) -> bool {
        let chains = self.nftables.iter().filter_map(|item| item.chain.as_ref());
        chains.into_iter().any(|chain| format!("{} {}", chain.family, chain.table) == table && chain.name == name)
    }

    fn decide(&self, at: (&str, &str, &str), packet: &ForwardedPacket, depth: usize) -> Verdict {
        let rules = self.nftables.iter().filter_map(|item| item.rule.as_ref());
        let own = rules.filter(|rule| (rule.family.as_str(), rule.table.as_str(), rule.chain.as_str()) == at);
        for rule in own {
            match self.apply(rule, packet, depth) {
                Verdict::Continue => {}
                verdict => return verdict,
            }
        }
        Verdict::Continue
    }

    /// Evaluates one rule: its matches in order, up to its verdict.
    fn apply(&self, rule: &FirewallRule, packet: &ForwardedPacket, depth: usize) -> Verdict {
        let mut certain = true;
        for expression in &rule.expr {
            let Some((kind, value)) = expression.as_object().and_then(|object| object.iter().next()) else { continue };
            match kind.as_str() {
                "match" => match matches(value, packet) {
                    Some(true) => {}
                    Some(false) => return Verdict::Continue,
                    None => certain = false,
                },
                "accept" | "vmap" => return Verdict::Accept,
                "drop" | "reject" => return if certain { Verdict::Drop } else { Verdict::Continue },
                "return" => return if certain { Verdict::Return } else { Verdict::Continue },
                "jump" | "goto" => {
                    let target = value["target"].as_str().unwrap_or_default();
                    return self.jump(rule, target, packet, (kind == "goto", certain, depth));
                }
                // Extensions of iptables, rates and numbers of connections cannot be evaluated.
                "xt" | "limit" | "ct count" | "quota" => certain = false,
                _ => {} // counters, logs, marks
            }
        }
        Verdict::Continue
    }

    fn jump(
        &self,
        rule: &FirewallRule,
        target: &str,
        packet: &ForwardedPacket,
        (is_goto, certain, depth): (bool, bool, usize),
    ) -> Verdict {
        if depth > MAX_JUMPS {
            return Verdict::Continue;
        }
        match self.decide((&rule.family, &rule.table, target), packet, depth + 1) {
            Verdict::Accept => Verdict::Accept,
            Verdict::Drop if certain => Verdict::Drop,
            Verdict::Continue | Verdict::Return if is_goto && certain => Verdict::Return,
            _ => Verdict::Continue,
        }
    }
}

/// True if a packet matches; `None` if that cannot be evaluated here.
fn matches(value: &Value, packet: &ForwardedPacket) -> Option<bool> {
    let (left, right) = (&value["left"], &value["right"]);
    let equal = match (left["meta"]["key"].as_str(), left["payload"]["field"].as_str(), left["ct"]["key"].as_str()) {
        (Some("iifname" | "iif"), _, _) => any_of(right, |it| is_device(it, packet.from_tunnel)),
        (Some("oifname" | "oif"), _, _) => any_of(right, |it| is_device(it, packet.to_tunnel)),
        (_, Some("saddr"), _) if left["payload"]["protocol"] == "ip" => any_of(right, |it| has(it, packet.source)),
        (_, Some("daddr"), _) if left["payload"]["protocol"] == "ip" => any_of(right, |it| has(it, packet.destination)),
        (_, _, Some("state")) => any_of(right, |it| Some(it == if packet.is_reply { "established" } else { "new" })),
        _ => None,
    }?;
    Some(if value["op"] == "!=" { !equal } else { equal })
}

/// True if one of the values that a match names fits; `None` if that is not known.
fn any_of(right: &Value, fits: impl Fn(&Value) -> Option<bool>) -> Option<bool> {
    let Some(items) = right["set"].as_array().or_else(|| right.as_array()) else { return fits(right) };
    let each: Vec<Option<bool>> = items.iter().map(fits).collect();
    if each.contains(&Some(true)) {
        return Some(true);
    }
    (!each.contains(&None)).then_some(false)
}

/// True if a packet's device has this name; `None` for other devices than the tunnel, whose names
/// are not known.
fn is_device(name: &Value, is_tunnel: bool) -> Option<bool> {
    let name = name.as_str()?;
    let is_for_tunnel = name.strip_suffix('*').map_or(name == TUNNEL, |start| TUNNEL.starts_with(start));
    match (is_tunnel, is_for_tunnel) {
        (true, is_for_tunnel) => Some(is_for_tunnel),
        (false, true) if name == TUNNEL => Some(false),
        (false, _) => None,
    }
}

fn has(value: &Value, address: Ipv4Addr) -> Option<bool> {
    if let Some(text) = value.as_str() {
        return Some(text.parse::<Ipv4Addr>().ok()? == address);
    }
    let prefix = &value["prefix"];
    let net = Ipv4Net::new(prefix["addr"].as_str()?.parse().ok()?, u8::try_from(prefix["len"].as_u64()?).ok()?).ok()?;
    Some(net.contains(&address))
}

/// True if the rules of legacy iptables, as `iptables-legacy -S FORWARD` prints them, drop all
/// forwarded packets of the tunnel.
pub(crate) fn legacy_drops(rules: &str) -> bool {
    let passes = |line: &str| line.ends_with("-j ACCEPT") || line.ends_with("-j ts-forward");
    let mut own = rules.lines().filter(|line| line.starts_with("-A FORWARD"));
    rules.lines().any(|line| line.trim() == "-P FORWARD DROP") && !own.any(passes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chain(table: &str, name: &str, policy: Option<&str>) -> Value {
        let hook = policy.map(|_| "forward");
        json!({"chain": {"family": "ip", "table": table, "name": name, "hook": hook, "policy": policy}})
    }

    fn rule(name: &str, expr: &Value) -> Value {
        json!({"rule": {"family": "ip", "table": "filter", "chain": name, "expr": expr}})
    }

    fn device(key: &str, name: &str) -> Value {
        json!({"match": {"op": "==", "left": {"meta": {"key": key}}, "right": name}})
    }

    /// Returns whether a policy (true) or a rule (false) drops packets out of the tunnel, and into
    /// it; `None` if they pass.
    fn dropped(items: &[Value]) -> [Option<bool>; 2] {
        let rules: FirewallRules = serde_json::from_value(json!({ "nftables": items })).expect("rules");
        [true, false].map(|from_tunnel| {
            let (local, remote) = (Ipv4Addr::new(10, 244, 64, 9), Ipv4Addr::new(10, 244, 0, 9));
            let (source, destination) = if from_tunnel { (remote, local) } else { (local, remote) };
            let packet = ForwardedPacket { from_tunnel, to_tunnel: !from_tunnel, source, destination, is_reply: false };
            rules.dropping(&packet).first().map(|chain| chain.by_policy)
        })
    }

    #[test]
    fn a_policy_drops_what_no_rule_accepts() {
        assert_eq!(dropped(&[chain("filter", "FORWARD", Some("accept"))]), [None, None]);
        assert_eq!(dropped(&[chain("filter", "FORWARD", Some("drop"))]), [Some(true), Some(true)]);
        let established = json!([
            {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}},
            {"accept": null},
        ]);
        let items = [chain("filter", "FORWARD", Some("drop")), rule("FORWARD", &established)];
        assert_eq!(dropped(&items), [Some(true), Some(true)], "a new connection is not accepted");
        let one_way = json!([device("oifname", "tailscale0"), {"counter": {}}, {"accept": null}]);
        assert_eq!(dropped(&[chain("filter", "FORWARD", Some("drop")), rule("FORWARD", &one_way)]), [Some(true), None]);
    }

    /// Docker sets the policy; the rules of tailscaled, which it inserts first, accept its packets.
    #[test]
    fn rules_of_tailscaled_accept_before_the_policy_of_docker() {
        let mark =
            json!({"match": {"op": "==", "left": {"&": [{"meta": {"key": "mark"}}, 16_711_680]}, "right": 262_144}});
        let items = [
            chain("filter", "FORWARD", Some("drop")),
            chain("filter", "ts-forward", None),
            rule("FORWARD", &json!([{"counter": {}}, {"jump": {"target": "ts-forward"}}])),
            rule("FORWARD", &json!([{"jump": {"target": "DOCKER-USER"}}])),
            rule("ts-forward", &json!([mark, {"accept": null}])),
            rule("ts-forward", &json!([device("oifname", "tailscale0"), {"accept": null}])),
        ];
        assert_eq!(dropped(&items), [None, None]);
    }

    #[test]
    fn a_rule_drops_only_if_all_of_it_certainly_matches() {
        let base = || chain("filter", "FORWARD", Some("accept"));
        let source = |prefix: &str, len| {
            json!({"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}},
                "right": {"prefix": {"addr": prefix, "len": len}}}})
        };
        let drop = |expr: Value| [base(), rule("FORWARD", &expr)];
        assert_eq!(dropped(&drop(json!([source("10.244.64.0", 18), {"drop": null}]))), [None, Some(false)]);
        assert_eq!(dropped(&drop(json!([source("10.99.0.0", 16), {"drop": null}]))), [None, None]);
        assert_eq!(dropped(&drop(json!([device("iifname", "eth0"), {"drop": null}]))), [None, None]);
        assert_eq!(dropped(&drop(json!([{"xt": {"type": "match", "name": "recent"}}, {"drop": null}]))), [None, None]);
        assert_eq!(dropped(&drop(json!([device("oifname", "tailscale*"), {"reject": null}]))), [None, Some(false)]);
    }

    #[test]
    fn legacy_rules_are_read_as_text() {
        assert!(legacy_drops("-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n"));
        assert!(!legacy_drops("-P FORWARD DROP\n-A FORWARD -j ts-forward\n"));
        assert!(!legacy_drops("-P FORWARD ACCEPT\n"));
    }
}
