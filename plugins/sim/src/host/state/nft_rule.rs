use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

/// Rule of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum NftRule {
    /// Limit of the TCP segment size.
    Clamp(Clamp),
    /// Conditions with one statement, for the packets that meet all of them.
    Filter(FilterRule),
}

/// MSS clamp: `iifname|oifname "DEVICE" tcp flags syn tcp option maxseg size set rt mtu`.
///
/// The kernel lowers the segment size to the packet size of the routes to both ends of the
/// connection (`get_tcpmss` in `net/netfilter/nft_rt.c`), and never raises it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clamp {
    /// Direction in which packets pass the device.
    pub way: Way,
    /// Name of the device.
    pub device: String,
}

/// Rule of a packet filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterRule {
    /// Conditions in the order of the listing.
    pub matches: Vec<PacketMatch>,
    /// True if the rule counts its packets. The simulated counters stay 0.
    pub counter: bool,
    /// True if `iptables` has added the rule: nft lists some of its parts in a form of their own.
    pub iptables: bool,
    /// Effect on the packets that meet every condition.
    pub statement: Statement,
}

/// Condition of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PacketMatch {
    /// Name of the device by which the packet enters or leaves; `eth*` is every name that starts
    /// with `eth`.
    Device {
        /// Direction in which the packet passes the device.
        way: Way,
        /// True if the condition is negated.
        negated: bool,
        /// Name of the device, or its start and `*`.
        name: String,
    },
    /// Prefix of an address of the packet.
    Address {
        /// True for the source address, false for the destination.
        source: bool,
        /// True if the condition is negated.
        negated: bool,
        /// Prefix that contains the address.
        prefix: Ipv4Net,
    },
    /// State of the connection that the packet belongs to.
    State {
        /// True if the condition is negated.
        negated: bool,
        /// States of which one applies.
        states: BTreeSet<ConnectionState>,
    },
    /// Mark of the packet, of which the bits of `mask` equal `value`.
    Mark {
        /// Bits that are compared.
        mask: u32,
        /// Value that they have.
        value: u32,
    },
    /// Destination port of a packet.
    Port {
        /// `tcp` or `udp`.
        protocol: String,
        /// Number of the port.
        port: u16,
    },
}

/// State of a connection in the kernel's connection tracking, in the order of nft's listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionState {
    /// The packet belongs to no connection that could be identified.
    Invalid,
    /// The connection has seen packets in both directions.
    Established,
    /// The packet starts a connection that an established one has announced.
    Related,
    /// The packet starts a connection.
    New,
}

/// Effect of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statement {
    /// Accepts the packet: the base chain ends.
    Accept,
    /// Drops the packet.
    Drop,
    /// Drops the packet and reports it to the sender.
    Reject,
    /// Continues after the jump that has led here, or with the policy of a base chain.
    Return,
    /// Continues in another chain of the table.
    Jump(String),
    /// Sets the bits of `mask` in the packet's mark to `value`.
    SetMark {
        /// Bits that are replaced.
        mask: u32,
        /// New value of these bits.
        value: u32,
    },
    /// No effect: the rule only counts packets.
    Continue,
}

/// Direction of a packet through a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Packets that enter through the device (`iifname`).
    In,
    /// Packets that leave through the device (`oifname`).
    Out,
}

impl Way {
    /// Returns the expression that selects the direction.
    pub fn keyword(self) -> &'static str {
        match self {
            Self::In => "iifname",
            Self::Out => "oifname",
        }
    }
}

impl ConnectionState {
    /// States in the order of nft's listing.
    pub(in crate::host) const ALL: [Self; 4] = [Self::Invalid, Self::Established, Self::Related, Self::New];

    /// Returns the keyword of nftables.
    pub(in crate::host) const fn keyword(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Established => "established",
            Self::Related => "related",
            Self::New => "new",
        }
    }

    /// Returns the states of a list such as `established,related`, in any case; `None` if a word is
    /// unknown.
    pub(in crate::host) fn list(words: &str) -> Option<BTreeSet<Self>> {
        let state = |word: &str| Self::ALL.into_iter().find(|state| state.keyword().eq_ignore_ascii_case(word));
        words.split(',').map(state).collect()
    }
}

impl FilterRule {
    /// Returns a rule as `nft` adds it.
    pub fn nft(matches: Vec<PacketMatch>, counter: bool, statement: Statement) -> Self {
        Self { matches, counter, iptables: false, statement }
    }

    /// Returns a rule as `iptables` adds it: with a counter.
    pub(in crate::host) fn iptables(matches: Vec<PacketMatch>, statement: Statement) -> Self {
        Self { matches, counter: true, iptables: true, statement }
    }

    /// Returns true if nft needs the extensions of iptables to list the rule.
    pub(in crate::host) fn has_extension(&self) -> bool {
        let is_extended = matches!(self.statement, Statement::SetMark { .. } | Statement::Reject);
        self.iptables && (is_extended || self.matches.iter().any(|part| matches!(part, PacketMatch::State { .. })))
    }
}

/// Returns a prefix as nft and iptables list it: without the length of a whole address.
pub(in crate::host) fn shown_prefix(prefix: Ipv4Net) -> String {
    if prefix.prefix_len() == 32 { prefix.addr().to_string() } else { prefix.to_string() }
}

/// Reads an address or a prefix, whose host bits are cleared.
pub(in crate::host) fn read_prefix(text: &str) -> Option<Ipv4Net> {
    let address = || Some(Ipv4Net::from(text.parse::<Ipv4Addr>().ok()?));
    text.parse::<Ipv4Net>().ok().map(|prefix| prefix.trunc()).or_else(address)
}
