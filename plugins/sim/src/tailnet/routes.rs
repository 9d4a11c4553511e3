use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::IpNet;
use jiff::Timestamp;

use super::device::{Device, NodeId};
use super::state::Tailnet;

/// A route that a device gets from another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerRoute {
    /// Where to.
    pub prefix: IpNet,
    /// The device that serves it.
    pub node: NodeId,
    /// That device's address in the tailnet.
    pub ipv4: Ipv4Addr,
    /// Whether that device is there to serve it.
    pub online: bool,
}

impl Tailnet {
    /// Replaces what a device advertises; what the policy approves of by itself becomes enabled.
    pub fn set_advertised(&mut self, node: &NodeId, prefixes: BTreeSet<IpNet>) {
        let Some(id) = self.device(node).map(|device| device.id) else { return };
        let approved = self.auto_approved(id, &prefixes);
        if let Some(device) = self.devices.get_mut(&id) {
            device.advertised = prefixes;
            device.enabled.extend(approved);
        }
    }

    /// The routes that a device serves now: advertised, enabled, and won in the election.
    pub fn primary_routes(&self, node: &NodeId) -> BTreeSet<IpNet> {
        let Some(device) = self.device(node) else { return BTreeSet::new() };
        offered(device).filter(|prefix| self.elected(prefix).is_some_and(|winner| winner.id == device.id)).collect()
    }

    /// The routes of the other devices, as a device that accepts routes gets them.
    ///
    /// A route whose every device is offline stays with one of them: the service does not withdraw it, so that a deleted
    /// machine's device goes on attracting traffic. A device does not get a route back that it serves itself.
    pub fn peers_routes(&self, node: &NodeId) -> Vec<PeerRoute> {
        let own: BTreeSet<IpNet> = self.device(node).map(|device| offered(device).collect()).unwrap_or_default();
        let all: BTreeSet<IpNet> = self.devices.values().flat_map(offered).collect();
        all.difference(&own).filter_map(|prefix| self.peer_route(prefix)).collect()
    }

    /// The devices that a device sees: every other one that may take part.
    pub fn peers(&self, node: &NodeId) -> impl Iterator<Item = &Device> {
        self.devices.values().filter(move |device| &device.node_id != node && takes_part(device))
    }

    fn peer_route(&self, prefix: &IpNet) -> Option<PeerRoute> {
        let device = self.elected(prefix)?;
        let (node, ipv4) = (device.node_id.clone(), device.ipv4);
        Some(PeerRoute { prefix: *prefix, node, ipv4, online: device.online })
    }

    /// The lowest id among those online, or else among all.
    fn elected(&self, prefix: &IpNet) -> Option<&Device> {
        let candidates = || self.devices.values().filter(|device| offered(device).any(|offer| offer == *prefix));
        candidates().find(|device| device.online).or_else(|| candidates().next())
    }

    fn auto_approved(&self, id: u64, prefixes: &BTreeSet<IpNet>) -> Vec<IpNet> {
        let Some(device) = self.devices.get(&id) else { return Vec::new() };
        prefixes.iter().filter(|prefix| self.policy.approves(prefix, &device.tags)).copied().collect()
    }
}

fn offered(device: &Device) -> impl Iterator<Item = IpNet> {
    device.advertised.intersection(&device.enabled).copied().filter(|_| takes_part(device))
}

fn takes_part(device: &Device) -> bool {
    device.authorized && (device.key_expiry_disabled || Timestamp::now() < device.expires)
}
