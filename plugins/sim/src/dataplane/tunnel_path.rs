use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::host::PathHost;
use super::path::{DropCause, PacketDrop};
use super::plane::Plane;
use super::tunnel::Tunnel;
use crate::tailnet::Device;

impl Plane {
    /// Returns the machine at the other end for a packet that enters the tunnel.
    pub(super) fn route_in_tunnel(&self, from: &PathHost, source: Ipv4Addr, to: Ipv4Addr) -> Result<usize, PacketDrop> {
        let died = |cause, why: String| PacketDrop::new(&from.name, cause, why);
        let tunnel = from.tunnel().ok_or_else(|| died(DropCause::NoPeer, "tailscaled is not connected".to_owned()))?;
        let Some(peer) = tunnel.peer(to) else {
            let why = format!("the tunnel has no peer for {to}");
            return Err(self.tailnet_gap(from, to).unwrap_or_else(|| died(DropCause::NoPeer, why)));
        };
        let device = self.devices.get(peer).ok_or_else(|| died(DropCause::NoPeer, format!("peer {peer} is gone")))?;
        if !device.online {
            let why = format!("the tailnet sends {to} to device {}, which is offline", device.label);
            return Err(died(DropCause::DeviceOffline, why));
        }
        let at = self.hosts.iter().position(|host| host.tunnel().is_some_and(|tunnel| &tunnel.node == peer));
        let at =
            at.ok_or_else(|| died(DropCause::DeviceOffline, format!("no machine runs as device {}", device.label)))?;
        self.accept(from, &self.hosts[at], source).map(|()| at)
    }

    /// Checks the source at the receiving end: it is accepted only from the peer that has it.
    fn accept(&self, from: &PathHost, at: &PathHost, source: Ipv4Addr) -> Result<(), PacketDrop> {
        let (Some(sender), Some(receiver)) = (from.tunnel(), at.tunnel()) else { return Ok(()) };
        if receiver.shielded {
            return Err(PacketDrop::new(&at.name, DropCause::ForeignSource, "it takes no connections of the tailnet"));
        }
        if receiver.peer(source) == Some(&sender.node) {
            return Ok(());
        }
        let why = format!("the tunnel drops source {source}, which is not among the routes of {}", from.name);
        let missing = self.gap(at, source, |device| device.node_id == sender.node);
        Err(missing.unwrap_or_else(|| PacketDrop::new(&at.name, DropCause::ForeignSource, why)))
    }

    /// Returns the reason why a machine has no route of the tailnet to an address, if a device
    /// advertises or has approved one.
    pub(super) fn tailnet_gap(&self, host: &PathHost, address: Ipv4Addr) -> Option<PacketDrop> {
        self.gap(host, address, |_| true)
    }

    /// Returns the missing entry of a device that would route the address.
    fn gap(&self, host: &PathHost, address: Ipv4Addr, of: impl Fn(&Device) -> bool) -> Option<PacketDrop> {
        let tunnel = host.tunnel()?;
        let mut others = self.devices.values().filter(|device| device.node_id != tunnel.node && of(device));
        others.find_map(|device| gap_of(tunnel, &host.name, device, address))
    }
}

/// Returns the missing entry of one device: acceptance, approval or advertisement.
fn gap_of(tunnel: &Tunnel, host: &str, device: &Device, address: Ipv4Addr) -> Option<PacketDrop> {
    let (advertised, enabled) = (covering(&device.advertised, address), covering(&device.enabled, address));
    let both = device.advertised.intersection(&device.enabled).any(|prefix| prefix.contains(&IpAddr::V4(address)));
    let label = &device.label;
    match (advertised, enabled) {
        _ if both && !tunnel.accepts => Some(PacketDrop::new(
            host,
            DropCause::NotAccepted,
            format!("it does not accept routes, so {address} has no way to {label}"),
        )),
        _ if both => None,
        (Some(prefix), _) => {
            let why = format!("route {prefix} of device {label} is advertised but not approved");
            Some(PacketDrop::new(host, DropCause::NotApproved, why))
        }
        (None, Some(prefix)) => {
            let why = format!("route {prefix} of device {label} is approved but not advertised");
            Some(PacketDrop::new(host, DropCause::NotAdvertised, why))
        }
        (None, None) => None,
    }
}

/// Returns a prefix that contains the address, other than a default route.
fn covering<'a>(prefixes: impl IntoIterator<Item = &'a IpNet>, address: Ipv4Addr) -> Option<IpNet> {
    let narrow = |prefix: &&IpNet| prefix.prefix_len() > 0 && prefix.contains(&IpAddr::V4(address));
    prefixes.into_iter().find(narrow).copied()
}
