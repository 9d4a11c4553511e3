use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::host::Machine;
use crate::tailnet::{NodeId, Tailnet};

/// A machine's side of the tailnet.
#[expect(clippy::struct_excessive_bools, reason = "they are tailscaled's own switches")]
#[derive(Debug, Clone)]
pub(super) struct Tunnel {
    pub(super) node: NodeId,
    /// Which peer has which addresses (`AllowedIPs`): where packets go, and from whom they are taken.
    allowed: Vec<(Ipv4Net, NodeId)>,
    pub(super) accepts: bool,
    /// What it offers to carry packets to.
    serves: Vec<IpNet>,
    /// Whether packets that it passes on get its own address.
    pub(super) masquerades: bool,
    /// Whether what it passes on into the tunnel has to belong to a connection that came out of it.
    pub(super) filters: bool,
    pub(super) shielded: bool,
}

impl Tunnel {
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

    /// Whether it offers to carry packets to an address by a prefix that is narrower than another.
    pub(super) fn serves(&self, address: Ipv4Addr, than: Ipv4Net) -> bool {
        let is_narrower = |prefix: &&IpNet| prefix.prefix_len() > than.prefix_len();
        self.serves.iter().filter(is_narrower).any(|prefix| prefix.contains(&IpAddr::V4(address)))
    }

    /// The peer that has an address.
    pub(super) fn peer(&self, address: Ipv4Addr) -> Option<&NodeId> {
        let matching = self.allowed.iter().filter(|(prefix, _)| prefix.contains(&address));
        matching.max_by_key(|(prefix, _)| prefix.prefix_len()).map(|(_, node)| node)
    }
}
