use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::nft::{Chain, ChainPolicy, Hook, Ruleset};
use super::nft_rule::{ConnectionState, FilterRule, NftRule, PacketMatch, Statement, Way};

/// Name of tailscaled's interface.
const TUNNEL: &str = "tailscale0";
/// Bits of a packet's mark that belong to tailscaled.
const MARK_MASK: u32 = 0x00ff_0000;
/// Mark of packets that came out of the tunnel.
const MARK: u32 = 0x0004_0000;
/// Table of `iptables` in which tailscaled keeps its chains.
const TABLE: &str = "ip filter";
/// Chains of tailscaled, each with the chain that jumps to it.
const CHAINS: [(&str, &str, Hook); 2] = [("ts-input", "INPUT", Hook::Input), ("ts-forward", "FORWARD", Hook::Forward)];

/// Settings that decide about tailscaled's rules in the packet filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailscaleRules {
    /// True if the chains `INPUT` and `FORWARD` jump to tailscaled's: `--netfilter-mode=on`.
    pub divert: bool,
    /// True if packets into the tunnel must belong to a connection: `--stateful-filtering`.
    pub stateful: bool,
    /// Address of the machine in the tailnet.
    pub address: Ipv4Addr,
}

impl Ruleset {
    /// Replaces the chains of tailscaled, or removes them for `None`.
    pub(in crate::host) fn replace_tailscale_rules(&mut self, rules: Option<&TailscaleRules>) {
        if let Some(table) = self.tables.get_mut(TABLE) {
            table.retain(|name, _| CHAINS.iter().all(|(own, ..)| own != name));
            for chain in table.values_mut() {
                chain.rules.retain(|rule| !jumps_to_own(rule));
            }
        }
        let Some(rules) = rules else { return };
        let table = self.tables.entry(TABLE.to_owned()).or_default();
        for (own, parent, hook) in CHAINS {
            let contents = if hook == Hook::Input { input(rules.address) } else { forward(rules.stateful) };
            let contents = contents.into_iter().map(NftRule::Filter).collect();
            table.insert(own.to_owned(), Chain { rules: contents, ..Chain::default() });
            if rules.divert {
                let parent = table.entry(parent.to_owned()).or_insert_with(|| Chain::filter(hook, ChainPolicy::Accept));
                let jump = FilterRule::iptables(Vec::new(), Statement::Jump(own.to_owned()));
                parent.rules.insert(0, NftRule::Filter(jump));
            }
        }
    }
}

fn jumps_to_own(rule: &NftRule) -> bool {
    let NftRule::Filter(FilterRule { statement: Statement::Jump(target), .. }) = rule else { return false };
    CHAINS.iter().any(|(own, ..)| own == target)
}

/// Returns the rules of `ts-input`.
fn input(address: Ipv4Addr) -> Vec<FilterRule> {
    let own = source(Ipv4Net::from(address));
    let chrome_os = source(prefix([100, 115, 92, 0], 23));
    let loopback = PacketMatch::Device { way: Way::In, negated: false, name: "lo".to_owned() };
    let port = PacketMatch::Port { protocol: "udp".to_owned(), port: 41641 };
    vec![
        FilterRule::iptables(vec![loopback, own], Statement::Accept),
        FilterRule::iptables(vec![tunnel(Way::In, true), chrome_os], Statement::Return),
        FilterRule::iptables(vec![tunnel(Way::In, true), source(tailnet())], Statement::Drop),
        FilterRule::iptables(vec![tunnel(Way::In, false)], Statement::Accept),
        FilterRule::iptables(vec![port], Statement::Accept),
    ]
}

/// Returns the rules of `ts-forward`.
fn forward(stateful: bool) -> Vec<FilterRule> {
    let into = || tunnel(Way::Out, false);
    let mark = Statement::SetMark { mask: MARK_MASK, value: MARK };
    let known = [ConnectionState::Established, ConnectionState::Related].into();
    let unknown = PacketMatch::State { negated: true, states: known };
    let filter = FilterRule::iptables(vec![into(), unknown], Statement::Drop);
    let mut rules = vec![
        FilterRule::iptables(vec![tunnel(Way::In, false)], mark),
        FilterRule::iptables(vec![PacketMatch::Mark { mask: MARK_MASK, value: MARK }], Statement::Accept),
        FilterRule::iptables(vec![into(), source(tailnet())], Statement::Drop),
    ];
    rules.extend(Some(filter).filter(|_| stateful));
    rules.push(FilterRule::iptables(vec![into()], Statement::Accept));
    rules
}

/// Returns the prefix of all addresses of tailnets.
fn tailnet() -> Ipv4Net {
    prefix([100, 64, 0, 0], 10)
}

fn prefix(address: [u8; 4], length: u8) -> Ipv4Net {
    Ipv4Net::new(address.into(), length).expect("the length is at most 32")
}

fn tunnel(way: Way, negated: bool) -> PacketMatch {
    PacketMatch::Device { way, negated, name: TUNNEL.to_owned() }
}

fn source(prefix: Ipv4Net) -> PacketMatch {
    PacketMatch::Address { source: true, negated: false, prefix }
}
