use std::collections::BTreeSet;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::tailscale_rules::TailscaleRules;
use crate::tailnet::NodeId;

/// State of tailscaled that survives a reboot.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tailscaled {
    /// Device as which it has logged in.
    pub node: Option<NodeId>,
    /// Preferences that `tailscale up` and `tailscale set` change.
    pub prefs: Prefs,
    /// Settings of the packet filter's rules that it has written since the boot; `None` for no
    /// rules.
    #[serde(default)]
    pub rules: Option<TailscaleRules>,
}

/// Preferences of tailscaled, named as in Go's `ipn.Prefs`.
#[expect(clippy::struct_excessive_bools, reason = "they are tailscaled's own switches")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prefs {
    /// URL of the coordination server; empty before the first login.
    pub control_url: String,
    /// Value of `--accept-routes`, which installs the routes of peers.
    pub route_all: bool,
    /// Value of `--accept-dns`, the DNS settings of the tailnet.
    pub corp_dns: bool,
    /// Value of `--ssh`, Tailscale's own SSH server.
    pub run_ssh: bool,
    /// True if the machine should be connected.
    pub want_running: bool,
    /// True if it has logged out since the last login.
    pub logged_out: bool,
    /// Value of `--shields-up`, which blocks incoming connections.
    pub shields_up: bool,
    /// Tags of `--advertise-tags`, each as `tag:NAME`.
    pub advertise_tags: Vec<String>,
    /// Value of `--hostname`; empty for the host name of the machine.
    pub hostname: String,
    /// Routes of `--advertise-routes`, including those of an exit node.
    pub advertise_routes: BTreeSet<IpNet>,
    /// Opposite of the value of `--snat-subnet-routes`.
    pub no_snat: bool,
    /// Opposite of the value of `--stateful-filtering`.
    pub no_stateful_filtering: bool,
    /// Value of `--netfilter-mode`: 0 is `off`, 1 is `nodivert`, 2 is `on`.
    pub netfilter_mode: u8,
    /// User of `--operator` who may change preferences; empty for root only.
    pub operator: String,
    /// Value of `--auto-update`, which has no effect in the simulation.
    pub auto_update: bool,
}

impl Default for Prefs {
    fn default() -> Self {
        Self {
            control_url: String::new(),
            route_all: false,
            corp_dns: true,
            run_ssh: false,
            want_running: false,
            logged_out: false,
            shields_up: false,
            advertise_tags: Vec::new(),
            hostname: String::new(),
            advertise_routes: BTreeSet::new(),
            no_snat: false,
            no_stateful_filtering: true,
            netfilter_mode: 2,
            operator: String::new(),
            auto_update: false,
        }
    }
}
