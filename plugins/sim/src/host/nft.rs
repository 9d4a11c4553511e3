use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::machine::Machine;

/// Ruleset of nftables in force. A reboot clears it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruleset {
    /// Chains by name, grouped by table; the key is `FAMILY NAME`, as in `inet filter`.
    pub tables: BTreeMap<String, BTreeMap<String, Chain>>,
}

/// Chain of an nftables table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// Priority at the hook `forward`, of type `filter`.
    ///
    /// A chain without a hook receives no packets.
    pub priority: Option<i32>,
    /// Rules in the order of evaluation.
    pub rules: Vec<Clamp>,
}

/// MSS clamp, the only simulated rule: `iifname|oifname "DEVICE" tcp flags syn tcp option maxseg
/// size set rt mtu`.
///
/// The kernel lowers the segment size to the packet size of the routes to both ends of the
/// connection (`get_tcpmss` in `net/netfilter/nft_rt.c`), and never raises it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clamp {
    /// Direction in which packets pass the device.
    pub way: Way,
    /// Name of the device.
    pub device: String,
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

impl Machine {
    /// Adds a table with an MSS clamp for both directions of a device, as an operator could.
    pub fn clamp_by_hand(&mut self, device: &str) {
        let rules = [Way::In, Way::Out].map(|way| Clamp { way, device: device.to_owned() }).into();
        let chain = Chain { priority: Some(-150), rules };
        self.ruleset.tables.insert("inet stargate_mss_clamp".to_owned(), [("forward".to_owned(), chain)].into());
    }

    /// Returns the devices and directions for which the segment size of forwarded packets is
    /// clamped.
    pub(crate) fn clamped(&self) -> impl Iterator<Item = (Way, String)> {
        let chains = self.ruleset.tables.values().flat_map(BTreeMap::values);
        let rules = chains.filter(|chain| chain.priority.is_some()).flat_map(|chain| &chain.rules);
        rules.map(|rule| (rule.way, rule.device.clone()))
    }
}
