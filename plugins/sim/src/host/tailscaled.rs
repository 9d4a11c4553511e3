use super::state::{Machine, TailscaleRules};
use crate::tailnet::Tailnet;

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
