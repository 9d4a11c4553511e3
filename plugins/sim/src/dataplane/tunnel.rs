use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::host::Machine;
use crate::tailnet::{NodeId, Tailnet};

/// Connection of a machine to the tailnet.
#[expect(clippy::struct_excessive_bools, reason = "they are tailscaled's own switches")]
#[derive(Debug, Clone)]
pub(super) struct Tunnel {
    pub(super) node: NodeId,
    /// Prefixes of each peer (`AllowedIPs`): where packets go, and from which peer they are
    /// accepted.
    allowed: Vec<(Ipv4Net, NodeId)>,
    /// True if it accepts routes of other devices.
    pub(super) accepts: bool,
    /// Prefixes that it advertises.
    serves: Vec<IpNet>,
    /// True if forwarded packets get its own address.
    pub(super) masquerades: bool,
    /// True if packets that it forwards into the tunnel must belong to a connection that came out
    /// of it.
    pub(super) filters: bool,
    /// True if it admits no connections from the tailnet.
    pub(super) shielded: bool,
}

impl Tunnel {
    /// Reads the connection of a machine, or `None` if tailscaled is not running.
    pub(super) fn of(machine: &Machine, tailnet: &Tailnet) -> Option<Self> {
        let node = machine.tailscaled.node.clone().filter(|_| machine.tailscale_running(tailnet))?;
        let prefs = &machine.tailscaled.prefs;
        let peers = tailnet.peers(&node).map(|peer| (Ipv4Net::from(peer.ipv4), peer.node_id.clone()));
        let routes = if prefs.route_all { tailnet.peers_routes(&node) } else { Vec::new() };
        let routes = routes.into_iter().filter_map(|route| match route.prefix {
            IpNet::V4(prefix) => Some((prefix, route.node)),
            IpNet::V6(_) => None,
        });
        Some(Self {
            allowed: peers.chain(routes).collect(),
            node,
            accepts: prefs.route_all,
            serves: prefs.advertise_routes.iter().copied().collect(),
            masquerades: !prefs.no_snat,
            filters: !prefs.no_stateful_filtering,
            shielded: prefs.shields_up,
        })
    }

    /// Returns `true` if it advertises a prefix for an address that is longer than `than`.
    pub(super) fn serves(&self, address: Ipv4Addr, than: Ipv4Net) -> bool {
        let is_narrower = |prefix: &&IpNet| prefix.prefix_len() > than.prefix_len();
        self.serves.iter().filter(is_narrower).any(|prefix| prefix.contains(&IpAddr::V4(address)))
    }

    /// Returns the peer that has an address.
    pub(super) fn peer(&self, address: Ipv4Addr) -> Option<&NodeId> {
        let matching = self.allowed.iter().filter(|(prefix, _)| prefix.contains(&address));
        matching.max_by_key(|(prefix, _)| prefix.prefix_len()).map(|(_, node)| node)
    }
}
