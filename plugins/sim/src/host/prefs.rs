use std::collections::BTreeSet;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::machine::Machine;
use super::tailscale_rules::TailscaleRules;
use crate::tailnet::{NodeId, Tailnet};

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

impl Machine {
    /// Returns true if tailscaled runs, is logged in and is connected.
    pub fn tailscale_running(&self, tailnet: &Tailnet) -> bool {
        self.backend_state(tailnet) == "Running"
    }

    /// Returns the `BackendState` that `tailscale status` shows.
    pub fn backend_state(&self, tailnet: &Tailnet) -> &'static str {
        let prefs = &self.tailscaled.prefs;
        let device = self.tailscaled.node.as_ref().and_then(|node| tailnet.device(node));
        match device {
            _ if !self.unit_active("tailscaled") => "NoState",
            None => "NeedsLogin",
            Some(_) if prefs.logged_out => "NeedsLogin",
            Some(device) if device.has_expired() => "NeedsLogin",
            Some(_) if !prefs.want_running => "Stopped",
            Some(device) if !device.authorized => "NeedsMachineAuth",
            Some(_) => "Running",
        }
    }

    /// Applies a change of tailscaled's state: reports the machine to the coordination server, with
    /// its online state, routes and host name, and writes the rules of the packet filter.
    ///
    /// Rules that another program has changed stay as they are until the settings change.
    pub fn report(&mut self, tailnet: &mut Tailnet) {
        self.report_device(tailnet);
        let rules = self.tailscale_rules(tailnet);
        if rules != self.tailscaled.rules {
            self.ruleset.replace_tailscale_rules(rules.as_ref());
            self.tailscaled.rules = rules;
        }
    }

    /// Reports the machine's online state, routes and host name to the coordination server.
    fn report_device(&self, tailnet: &mut Tailnet) {
        let Some(node) = &self.tailscaled.node else { return };
        let prefs = &self.tailscaled.prefs;
        let online = self.unit_active("tailscaled") && prefs.want_running && !prefs.logged_out;
        tailnet.set_online(node, online);
        if online {
            tailnet.set_advertised(node, prefs.advertise_routes.clone());
            tailnet.rename(node, self.tailscale_hostname());
        }
    }

    /// Returns the settings of the rules that tailscaled keeps in the packet filter.
    fn tailscale_rules(&self, tailnet: &Tailnet) -> Option<TailscaleRules> {
        let prefs = &self.tailscaled.prefs;
        let device = self.tailscaled.node.as_ref().and_then(|node| tailnet.device(node))?;
        let has_rules = prefs.netfilter_mode > 0 && self.tailscale_running(tailnet);
        let divert = prefs.netfilter_mode > 1;
        has_rules.then_some(TailscaleRules { divert, stateful: !prefs.no_stateful_filtering, address: device.ipv4 })
    }

    /// Returns the host name that tailscaled reports: the preference, or the machine's own name.
    pub fn tailscale_hostname(&self) -> &str {
        let preferred = &self.tailscaled.prefs.hostname;
        if preferred.is_empty() { &self.hostname } else { preferred }
    }
}
