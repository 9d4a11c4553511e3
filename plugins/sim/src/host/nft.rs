use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::machine::Machine;

/// nftables' tables in force. Nothing of them survives a reboot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruleset {
    /// Chains by name, by the family and name of their table, as in `inet filter`.
    pub tables: BTreeMap<String, BTreeMap<String, Chain>>,
}

/// A chain of rules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// Priority at the hook `forward`, of type `filter`; a chain without sees no packets.
    pub priority: Option<i32>,
    /// Its rules, in their order.
    pub rules: Vec<Clamp>,
}

/// `iifname|oifname "DEVICE" tcp flags syn tcp option maxseg size set rt mtu`: the only rule there is.
///
/// The kernel lowers the segment size to what the ways to both ends of the connection carry (`get_tcpmss` in its
/// `net/netfilter/nft_rt.c`), and never raises it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clamp {
    /// Whether it is about what comes in by the device or what leaves by it.
    pub way: Way,
    /// The device.
    pub device: String,
}

/// A direction through a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// `iifname`
    In,
    /// `oifname`
    Out,
}

impl Way {
    /// The expression that asks for it.
    pub fn keyword(self) -> &'static str {
        match self {
            Self::In => "iifname",
            Self::Out => "oifname",
        }
    }
}

impl Machine {
    /// Puts a table in force that clamps the segment size of what goes through a device in either direction.
    pub fn clamp_by_hand(&mut self, device: &str) {
        let rules = [Way::In, Way::Out].map(|way| Clamp { way, device: device.to_owned() }).into();
        let chain = Chain { priority: Some(-150), rules };
        self.ruleset.tables.insert("inet stargate_mss_clamp".to_owned(), [("forward".to_owned(), chain)].into());
    }

    /// The devices, and which way through them, for which TCP's segment size is clamped in packets that are passed on.
    pub(crate) fn clamped(&self) -> impl Iterator<Item = (Way, String)> {
        let chains = self.ruleset.tables.values().flat_map(BTreeMap::values);
        let rules = chains.filter(|chain| chain.priority.is_some()).flat_map(|chain| &chain.rules);
        rules.map(|rule| (rule.way, rule.device.clone()))
    }
}
