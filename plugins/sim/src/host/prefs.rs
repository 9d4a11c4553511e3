use std::collections::BTreeSet;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::machine::Machine;
use crate::tailnet::{NodeId, Tailnet};

/// What tailscaled keeps over a reboot.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tailscaled {
    /// The device that it logged in as.
    pub node: Option<NodeId>,
    /// Its preferences.
    pub prefs: Prefs,
}

/// tailscaled's preferences.
#[expect(clippy::struct_excessive_bools, reason = "they are tailscaled's own switches")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prefs {
    /// The coordination server; empty before the first login.
    pub control_url: String,
    /// `--accept-routes`
    pub route_all: bool,
    /// `--accept-dns`
    pub corp_dns: bool,
    /// `--ssh`
    pub run_ssh: bool,
    /// Whether it is to be connected.
    pub want_running: bool,
    /// Whether it has logged out.
    pub logged_out: bool,
    /// `--shields-up`
    pub shields_up: bool,
    /// `--advertise-tags`
    pub advertise_tags: Vec<String>,
    /// `--hostname`
    pub hostname: String,
    /// `--advertise-routes`
    pub advertise_routes: BTreeSet<IpNet>,
    /// The opposite of `--snat-subnet-routes`
    pub no_snat: bool,
    /// The opposite of `--stateful-filtering`
    pub no_stateful_filtering: bool,
    /// `--netfilter-mode`: 0 off, 1 nodivert, 2 on
    pub netfilter_mode: u8,
    /// `--operator`
    pub operator: String,
    /// `--auto-update`
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
    /// Whether tailscaled is logged in and connected.
    pub fn tailscale_running(&self, tailnet: &Tailnet) -> bool {
        self.backend_state(tailnet) == "Running"
    }

    /// `BackendState` as `tailscale status` shows it.
    pub fn backend_state(&self, tailnet: &Tailnet) -> &'static str {
        let prefs = &self.tailscaled.prefs;
        let device = self.tailscaled.node.as_ref().and_then(|node| tailnet.device(node));
        match device {
            _ if !self.unit_active("tailscaled") => "NoState",
            None => "NeedsLogin",
            Some(_) if prefs.logged_out => "NeedsLogin",
            Some(_) if !prefs.want_running => "Stopped",
            Some(device) if !device.authorized => "NeedsMachineAuth",
            Some(_) => "Running",
        }
    }

    /// Tells the coordination server what tailscaled would: whether it is there, and what it offers.
    pub fn report(&self, tailnet: &mut Tailnet) {
        let Some(node) = &self.tailscaled.node else { return };
        let prefs = &self.tailscaled.prefs;
        let online = self.unit_active("tailscaled") && prefs.want_running && !prefs.logged_out;
        tailnet.set_online(node, online);
        if online {
            tailnet.set_advertised(node, prefs.advertise_routes.clone());
            tailnet.rename(node, self.tailscale_hostname());
        }
    }

    /// The host name that it reports: the preference, or the machine's own.
    pub fn tailscale_hostname(&self) -> &str {
        let preferred = &self.tailscaled.prefs.hostname;
        if preferred.is_empty() { &self.hostname } else { preferred }
    }
}
