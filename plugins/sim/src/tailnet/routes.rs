use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::IpNet;

use super::device::{Device, NodeId};
use super::state::Tailnet;

/// Route that a device receives from another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerRoute {
    /// Destination of the route.
    pub prefix: IpNet,
    /// Device that serves the route.
    pub node: NodeId,
    /// Address of that device in the tailnet.
    pub ipv4: Ipv4Addr,
    /// True if that device is connected.
    pub online: bool,
}

impl Tailnet {
    /// Replaces the routes that a device advertises. Routes that the policy approves automatically
    /// become enabled.
    pub fn set_advertised(&mut self, node: &NodeId, prefixes: BTreeSet<IpNet>) {
        let Some(id) = self.device(node).map(|device| device.id) else { return };
        let approved = self.auto_approved(id, &prefixes);
        if let Some(device) = self.devices.get_mut(&id) {
            device.advertised = prefixes;
            device.enabled.extend(approved);
        }
    }

    /// Returns the routes that a device serves now: advertised, enabled, and elected among several
    /// devices.
    pub fn primary_routes(&self, node: &NodeId) -> BTreeSet<IpNet> {
        let Some(device) = self.device(node) else { return BTreeSet::new() };
        offered(device).filter(|prefix| self.elected(prefix).is_some_and(|winner| winner.id == device.id)).collect()
    }

    /// Returns the routes of other devices, as a device that accepts routes receives them.
    ///
    /// A route whose devices are all offline stays with one of them: the service does not withdraw
    /// it, so the device of a deleted machine continues to attract traffic. A device does not
    /// receive a route that it serves itself.
    pub fn peers_routes(&self, node: &NodeId) -> Vec<PeerRoute> {
        let own: BTreeSet<IpNet> = self.device(node).map(|device| offered(device).collect()).unwrap_or_default();
        let all: BTreeSet<IpNet> = self.devices.values().flat_map(offered).collect();
        all.difference(&own).filter_map(|prefix| self.peer_route(prefix)).collect()
    }

    /// Returns the peers of a device: all others that are authorized and whose keys are valid.
    pub fn peers(&self, node: &NodeId) -> impl Iterator<Item = &Device> {
        self.devices.values().filter(move |device| &device.node_id != node && takes_part(device))
    }

    fn peer_route(&self, prefix: &IpNet) -> Option<PeerRoute> {
        let device = self.elected(prefix)?;
        let (node, ipv4) = (device.node_id.clone(), device.ipv4);
        Some(PeerRoute { prefix: *prefix, node, ipv4, online: device.online })
    }

    /// Returns the device that serves a prefix: the lowest id among those online, or else among
    /// all.
    fn elected(&self, prefix: &IpNet) -> Option<&Device> {
        let candidates = || self.devices.values().filter(|device| offered(device).any(|offer| offer == *prefix));
        candidates().find(|device| device.online).or_else(|| candidates().next())
    }

    /// Returns the prefixes that the policy approves for a device.
    fn auto_approved(&self, id: u64, prefixes: &BTreeSet<IpNet>) -> Vec<IpNet> {
        let Some(device) = self.devices.get(&id) else { return Vec::new() };
        prefixes.iter().filter(|prefix| self.policy.approves(prefix, &device.tags)).copied().collect()
    }
}

/// Returns the routes of a device that are both advertised and enabled.
fn offered(device: &Device) -> impl Iterator<Item = IpNet> {
    device.advertised.intersection(&device.enabled).copied().filter(|_| takes_part(device))
}

/// True if a device is authorized and its node key has not expired.
fn takes_part(device: &Device) -> bool {
    device.authorized && !device.has_expired()
}
