use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::nft_rule::{Clamp, NftRule, Way};

/// Priority of the hook's standard filter chains.
pub(in crate::host) const FILTER: i32 = 0;
/// Priority of chains that change packets, before the filter.
pub(in crate::host) const MANGLE: i32 = -150;

/// Ruleset of nftables in force. A reboot clears it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruleset {
    /// Chains by name, grouped by table; the key is `FAMILY NAME`, as in `inet filter`.
    pub tables: BTreeMap<String, BTreeMap<String, Chain>>,
}

/// Chain of an nftables table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// Hook of a base chain.
    #[serde(default)]
    pub hook: Hook,
    /// Priority at the hook, of type `filter`.
    ///
    /// A chain without a priority is not a base chain: only jumps reach it.
    pub priority: Option<i32>,
    /// Verdict of a base chain for packets that no rule decides about.
    #[serde(default)]
    pub policy: ChainPolicy,
    /// Rules in the order of evaluation.
    pub rules: Vec<NftRule>,
}

/// Point on a packet's path at which base chains are evaluated.
///
/// Packets are traced through `forward` only; the other two are listed and filter nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// Packets for programs of the machine.
    Input,
    /// Packets that the machine passes on.
    #[default]
    Forward,
    /// Packets of programs of the machine.
    Output,
}

/// Default verdict of a base chain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChainPolicy {
    /// The packet continues to the next base chain.
    #[default]
    Accept,
    /// The packet is dropped.
    Drop,
}

impl Hook {
    /// Returns the keyword of nftables.
    pub(in crate::host) const fn keyword(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
        }
    }

    /// Returns the hook that nftables calls `keyword`.
    pub(in crate::host) fn of(keyword: &str) -> Option<Self> {
        [Self::Input, Self::Forward, Self::Output].into_iter().find(|hook| hook.keyword() == keyword)
    }
}

impl ChainPolicy {
    /// Returns the keyword of nftables.
    pub(in crate::host) const fn keyword(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Drop => "drop",
        }
    }

    /// Returns the policy that nftables calls `keyword`.
    pub(in crate::host) fn of(keyword: &str) -> Option<Self> {
        [Self::Accept, Self::Drop].into_iter().find(|policy| policy.keyword() == keyword)
    }
}

impl Chain {
    /// Returns an empty base chain with the standard priority of filters.
    pub fn filter(hook: Hook, policy: ChainPolicy) -> Self {
        Self { hook, priority: Some(FILTER), policy, rules: Vec::new() }
    }

    /// Returns true if the chain is evaluated for packets that the machine passes on.
    pub(in crate::host) fn forwards(&self) -> bool {
        self.hook == Hook::Forward && self.priority.is_some()
    }

    /// Iterates over the clamps among the rules.
    fn clamps(&self) -> impl Iterator<Item = &Clamp> {
        self.rules.iter().filter_map(|rule| match rule {
            NftRule::Clamp(clamp) => Some(clamp),
            NftRule::Filter(_) => None,
        })
    }
}

impl Ruleset {
    /// Adds a table with an MSS clamp for both directions of a device, as an operator could.
    pub fn clamp_by_hand(&mut self, device: &str) {
        let rules = [Way::In, Way::Out].map(|way| NftRule::Clamp(Clamp { way, device: device.to_owned() })).into();
        let chain = Chain { priority: Some(MANGLE), rules, ..Chain::default() };
        self.tables.insert("inet stargate_mss_clamp".to_owned(), [("forward".to_owned(), chain)].into());
    }

    /// Removes every table with an MSS clamp.
    pub(crate) fn remove_clamps(&mut self) {
        self.tables.retain(|_, chains| chains.values().all(|chain| chain.clamps().next().is_none()));
    }

    /// Sets the policy of forwarded packets, as an operator could.
    ///
    /// [`ChainPolicy::Drop`] adds the chain `forward` of the table `inet filter`, which drops what
    /// no rule of it accepts. [`ChainPolicy::Accept`] changes every base chain at the hook.
    pub fn set_forward_policy(&mut self, policy: ChainPolicy) {
        if policy == ChainPolicy::Drop {
            let table = self.tables.entry("inet filter".to_owned()).or_default();
            let new = || Chain::filter(Hook::Forward, policy);
            table.entry("forward".to_owned()).or_insert_with(new).policy = policy;
            return;
        }
        let chains = self.tables.values_mut().flat_map(BTreeMap::values_mut);
        for chain in chains.filter(|chain| chain.forwards()) {
            chain.policy = policy;
        }
    }

    /// Returns the devices and directions for which the segment size of forwarded packets is
    /// clamped.
    pub(crate) fn clamped(&self) -> impl Iterator<Item = (Way, String)> {
        let chains = self.tables.values().flat_map(BTreeMap::values).filter(|chain| chain.forwards());
        chains.flat_map(Chain::clamps).map(|clamp| (clamp.way, clamp.device.clone()))
    }
}
