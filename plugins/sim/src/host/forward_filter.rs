use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::state::{Chain, ChainPolicy, ConnectionState, FilterRule, NftRule, PacketMatch, Ruleset, Statement, Way};

/// Name of the table and the chain in which `iptables` filters forwarded packets.
const IPTABLES_FORWARD: (&str, &str) = ("ip filter", "FORWARD");
/// Number of jumps that may be nested, as in the kernel (`NFT_JUMP_STACK_SIZE`).
const MAX_JUMPS: u32 = 16;

/// Packet at the hook `forward`.
#[derive(Debug, Clone)]
pub(crate) struct ForwardedPacket<'a> {
    /// Device by which it entered.
    pub(crate) enters: &'a str,
    /// Device by which it leaves.
    pub(crate) leaves: &'a str,
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    /// True if it answers a packet that has passed before.
    pub(crate) is_reply: bool,
    /// `tcp` or `udp` and the destination port, where they are known.
    pub(crate) port: Option<(&'static str, u16)>,
    /// True if it comes from or goes to a pod of the machine.
    ///
    /// Cilium's agent accepts these first in the chain of iptables (`CILIUM_FORWARD`).
    pub(crate) is_pods: bool,
}

/// Chain that drops a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChainDrop {
    /// Table as `FAMILY NAME`.
    pub(crate) table: String,
    /// Base chain at the hook.
    pub(crate) chain: String,
    /// True if no rule decided and the policy of the chain applied.
    pub(crate) by_policy: bool,
}

/// Decision of a chain's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RuleVerdict {
    Accept,
    Drop,
    /// No rule has decided, or one returns.
    Undecided,
}

impl Ruleset {
    /// Returns the chain that drops a packet, or `None` if it is forwarded.
    ///
    /// Each base chain is evaluated, in the order of priorities: one that accepts does not bind the
    /// next one, and a drop is final.
    pub(crate) fn forward_drop(&self, packet: &ForwardedPacket<'_>) -> Option<ChainDrop> {
        let is_ipv4 = |name: &str| name.starts_with("ip ") || name.starts_with("inet ");
        let tables = self.tables.iter().filter(|(table, _)| is_ipv4(table));
        let chains = tables.flat_map(|(table, chains)| chains.iter().map(move |(name, chain)| (table, name, chain)));
        let mut base: Vec<_> = chains.filter(|(_, _, chain)| chain.forwards()).collect();
        base.sort_by_key(|(_, _, chain)| chain.priority);
        let mut mark = 0;
        base.into_iter().find_map(|(table, name, chain)| {
            if packet.is_pods && (table.as_str(), name.as_str()) == IPTABLES_FORWARD {
                return None;
            }
            let verdict = verdict(&self.tables[table], chain, packet, &mut mark, 0);
            let by_policy = verdict == RuleVerdict::Undecided;
            let drops = verdict == RuleVerdict::Drop || (by_policy && chain.policy == ChainPolicy::Drop);
            drops.then(|| ChainDrop { table: table.clone(), chain: name.clone(), by_policy })
        })
    }
}

/// Evaluates the rules of a chain and of those that it jumps to.
fn verdict(
    table: &BTreeMap<String, Chain>,
    chain: &Chain,
    packet: &ForwardedPacket<'_>,
    mark: &mut u32,
    jumps: u32,
) -> RuleVerdict {
    for rule in &chain.rules {
        let NftRule::Filter(rule) = rule else { continue };
        if !meets(rule, packet, *mark) {
            continue;
        }
        match &rule.statement {
            Statement::Accept => return RuleVerdict::Accept,
            Statement::Drop | Statement::Reject => return RuleVerdict::Drop,
            Statement::Return => return RuleVerdict::Undecided,
            Statement::SetMark { mask, value } => *mark = (*mark & !mask) ^ value,
            Statement::Continue => {}
            Statement::Jump(target) => {
                let Some(next) = table.get(target).filter(|_| jumps < MAX_JUMPS) else { continue };
                let decided = verdict(table, next, packet, mark, jumps + 1);
                if decided != RuleVerdict::Undecided {
                    return decided;
                }
            }
        }
    }
    RuleVerdict::Undecided
}

/// Returns true if a packet meets every condition of a rule.
fn meets(rule: &FilterRule, packet: &ForwardedPacket<'_>, mark: u32) -> bool {
    rule.matches.iter().all(|condition| match condition {
        PacketMatch::Device { way, negated, name } => {
            let device = if *way == Way::In { packet.enters } else { packet.leaves };
            is_device(device, name) != *negated
        }
        PacketMatch::Address { source, negated, prefix } => {
            let address = if *source { packet.source } else { packet.destination };
            prefix.contains(&address) != *negated
        }
        PacketMatch::State { negated, states } => {
            let state = if packet.is_reply { ConnectionState::Established } else { ConnectionState::New };
            states.contains(&state) != *negated
        }
        PacketMatch::Mark { mask, value } => mark & mask == *value,
        PacketMatch::Port { protocol, port } => packet.port == Some((protocol.as_str(), *port)),
    })
}

/// Compares a device with a name that may end with `*`.
fn is_device(device: &str, name: &str) -> bool {
    name.strip_suffix('*').map_or(device == name, |start| device.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::state::Hook;
    use crate::host::state::TailscaleRules;

    fn packet<'a>(enters: &'a str, leaves: &'a str) -> ForwardedPacket<'a> {
        let (source, destination) = ([10, 1, 0, 4].into(), [10, 2, 0, 4].into());
        ForwardedPacket {
            enters,
            leaves,
            source,
            destination,
            is_reply: false,
            port: Some(("tcp", 80)),
            is_pods: false,
        }
    }

    fn iptables(policy: ChainPolicy) -> Ruleset {
        let chain = Chain::filter(Hook::Forward, policy);
        Ruleset { tables: [("ip filter".to_owned(), [("FORWARD".to_owned(), chain)].into())].into() }
    }

    #[test]
    fn the_policy_applies_where_no_rule_decides() {
        let passes = packet("eth0", "eth1");
        assert_eq!(Ruleset::default().forward_drop(&passes), None);
        assert_eq!(iptables(ChainPolicy::Accept).forward_drop(&passes), None);
        let drop = ChainDrop { table: "ip filter".into(), chain: "FORWARD".into(), by_policy: true };
        assert_eq!(iptables(ChainPolicy::Drop).forward_drop(&passes), Some(drop));
        let pods = ForwardedPacket { is_pods: true, ..passes };
        assert_eq!(iptables(ChainPolicy::Drop).forward_drop(&pods), None);
    }

    #[test]
    fn tailscaled_accepts_its_packets_in_the_chain_of_iptables_only() {
        let mut ruleset = iptables(ChainPolicy::Drop);
        let mut rules = TailscaleRules { divert: true, stateful: true, address: [100, 64, 0, 1].into() };
        ruleset.replace_tailscale_rules(Some(&rules));
        let [from, into] = [packet("tailscale0", "eth0"), packet("eth0", "tailscale0")];
        assert_eq!(ruleset.forward_drop(&from), None);
        let drop = ruleset.forward_drop(&into).expect("it starts a connection");
        assert!(!drop.by_policy);
        assert_eq!(ruleset.forward_drop(&ForwardedPacket { is_reply: true, ..into.clone() }), None);
        rules.stateful = false;
        ruleset.replace_tailscale_rules(Some(&rules));
        assert_eq!(ruleset.forward_drop(&into), None);
        assert!(ruleset.forward_drop(&packet("eth0", "eth1")).is_some());
        rules.divert = false;
        ruleset.replace_tailscale_rules(Some(&rules));
        assert!(ruleset.forward_drop(&into).is_some());

        rules.divert = true;
        ruleset.replace_tailscale_rules(Some(&rules));
        ruleset.set_forward_policy(ChainPolicy::Drop);
        let drop = ruleset.forward_drop(&into).expect("the other table drops it");
        assert_eq!((drop.table.as_str(), drop.by_policy), ("inet filter", true));
        ruleset.set_forward_policy(ChainPolicy::Accept);
        assert_eq!(ruleset.forward_drop(&packet("eth0", "eth1")), None);
    }
}
