use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::host::Host;
use super::path::{Cause, Death};
use super::plane::Plane;
use crate::host::Machine;
use crate::tailnet::{Device, NodeId, Tailnet};

/// A machine's side of the tailnet.
#[expect(clippy::struct_excessive_bools, reason = "they are tailscaled's own switches")]
#[derive(Debug, Clone)]
pub(super) struct Tunnel {
    node: NodeId,
    /// Which peer has which addresses (`AllowedIPs`): where packets go, and from whom they are taken.
    allowed: Vec<(Ipv4Net, NodeId)>,
    accepts: bool,
    /// What it offers to carry packets to.
    serves: Vec<IpNet>,
    /// Whether packets that it passes on get its own address.
    pub(super) masquerades: bool,
    /// Whether what it passes on into the tunnel has to belong to a connection that came out of it.
    pub(super) filters: bool,
    shielded: bool,
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
    fn peer(&self, address: Ipv4Addr) -> Option<&NodeId> {
        let matching = self.allowed.iter().filter(|(prefix, _)| prefix.contains(&address));
        matching.max_by_key(|(prefix, _)| prefix.prefix_len()).map(|(_, node)| node)
    }
}

impl Plane {
    /// The machine at the other end for a packet that goes into the tunnel.
    pub(super) fn through_tunnel(&self, from: &Host, source: Ipv4Addr, to: Ipv4Addr) -> Result<usize, Death> {
        let died = |cause, why: String| Death::new(&from.name, cause, why);
        let tunnel = from.tunnel().ok_or_else(|| died(Cause::NoPeer, "tailscaled is not connected".to_owned()))?;
        let Some(peer) = tunnel.peer(to) else {
            let why = format!("the tunnel has no peer for {to}");
            return Err(self.tailnet_gap(from, to).unwrap_or_else(|| died(Cause::NoPeer, why)));
        };
        let device = self.devices.get(peer).ok_or_else(|| died(Cause::NoPeer, format!("peer {peer} is gone")))?;
        if !device.online {
            let why = format!("the tailnet sends {to} to device {}, which is offline", device.label);
            return Err(died(Cause::DeviceOffline, why));
        }
        let at = self.hosts.iter().position(|host| host.tunnel().is_some_and(|tunnel| &tunnel.node == peer));
        let at = at.ok_or_else(|| died(Cause::DeviceOffline, format!("no machine runs as device {}", device.label)))?;
        self.accept(from, &self.hosts[at], source).map(|()| at)
    }

    /// What the receiving end does with a source: it is taken only from the peer that has it.
    fn accept(&self, from: &Host, at: &Host, source: Ipv4Addr) -> Result<(), Death> {
        let (Some(sender), Some(receiver)) = (from.tunnel(), at.tunnel()) else { return Ok(()) };
        if receiver.shielded {
            return Err(Death::new(&at.name, Cause::ForeignSource, "it takes no connections of the tailnet"));
        }
        if receiver.peer(source) == Some(&sender.node) {
            return Ok(());
        }
        let why = format!("the tunnel drops source {source}, which is not among the routes of {}", from.name);
        let missing = self.gap(at, source, |device| device.node_id == sender.node);
        Err(missing.unwrap_or_else(|| Death::new(&at.name, Cause::ForeignSource, why)))
    }

    /// Why a machine that is in the tailnet has no route of the tailnet to an address, if some device nearly serves it.
    pub(super) fn tailnet_gap(&self, host: &Host, address: Ipv4Addr) -> Option<Death> {
        self.gap(host, address, |_| true)
    }

    fn gap(&self, host: &Host, address: Ipv4Addr, of: impl Fn(&Device) -> bool) -> Option<Death> {
        let tunnel = host.tunnel()?;
        let mut others = self.devices.values().filter(|device| device.node_id != tunnel.node && of(device));
        others.find_map(|device| gap_of(tunnel, &host.name, device, address))
    }
}

fn gap_of(tunnel: &Tunnel, host: &str, device: &Device, address: Ipv4Addr) -> Option<Death> {
    let (advertised, enabled) = (covering(&device.advertised, address), covering(&device.enabled, address));
    let both = device.advertised.intersection(&device.enabled).any(|prefix| prefix.contains(&IpAddr::V4(address)));
    let label = &device.label;
    match (advertised, enabled) {
        _ if both && !tunnel.accepts => Some(Death::new(
            host,
            Cause::NotAccepted,
            format!("it does not accept routes, so {address} has no way to {label}"),
        )),
        _ if both => None,
        (Some(prefix), _) => {
            let why = format!("route {prefix} of device {label} is advertised but not approved");
            Some(Death::new(host, Cause::NotApproved, why))
        }
        (None, Some(prefix)) => {
            let why = format!("route {prefix} of device {label} is approved but not advertised");
            Some(Death::new(host, Cause::NotAdvertised, why))
        }
        (None, None) => None,
    }
}

fn covering<'a>(prefixes: impl IntoIterator<Item = &'a IpNet>, address: Ipv4Addr) -> Option<IpNet> {
    let narrow = |prefix: &&IpNet| prefix.prefix_len() > 0 && prefix.contains(&IpAddr::V4(address));
    prefixes.into_iter().find(narrow).copied()
}
