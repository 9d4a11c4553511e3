use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};

use super::device::{Device, NodeId};
use super::identifier::{hexadecimal, token};
use super::redeem::JoinError;
use super::state::Tailnet;

/// Lifetime of node keys of devices without tags: Tailscale's default.
const NODE_KEY_LIFETIME: SignedDuration = SignedDuration::from_hours(180 * 24);

impl Tailnet {
    /// Adds a device and uses `auth_key` up if it is for one device.
    ///
    /// # Errors
    /// The key is not valid now or does not give the tags; nothing has changed.
    pub fn join(&mut self, auth_key: &str, hostname: &str, tags: &[String]) -> Result<NodeId, JoinError> {
        let grant = self.redeem(auth_key, tags)?;
        let device = self.add(hostname, grant.tags);
        device.ephemeral = grant.ephemeral;
        Ok(device.node_id.clone())
    }

    /// Adds a device of an earlier run, offline for 30 days, with its routes advertised and
    /// approved.
    pub fn seed_stale_device(&mut self, hostname: &str, routes: &[IpNet]) -> NodeId {
        let device = self.add(hostname, ["tag:stargate-router".to_owned()].into());
        device.online = false;
        device.created -= SignedDuration::from_hours(31 * 24);
        device.last_seen -= SignedDuration::from_hours(30 * 24);
        device.advertised = routes.iter().copied().collect();
        device.enabled.clone_from(&device.advertised);
        device.node_id.clone()
    }

    /// Records whether a device is connected to the coordination server.
    pub fn set_online(&mut self, node: &NodeId, online: bool) {
        if let Some(device) = self.device_mut(node)
            && device.online != online
        {
            device.online = online;
            device.last_seen = Timestamp::now();
        }
    }

    /// Renames a device and gives it a new DNS name.
    pub fn rename(&mut self, node: &NodeId, hostname: &str) {
        let Some(id) = self.device(node).filter(|device| device.hostname != hostname).map(|device| device.id) else {
            return;
        };
        let label = self.free_label(hostname);
        if let Some(device) = self.devices.get_mut(&id) {
            hostname.clone_into(&mut device.hostname);
            device.label = label;
        }
    }

    /// Adds a device with new ids, addresses and keys.
    fn add(&mut self, hostname: &str, tags: BTreeSet<String>) -> &mut Device {
        self.joined += 1;
        let number = self.joined;
        let device = Device {
            id: numeric_id(number),
            node_id: NodeId(format!("n{}CNTRL", token("node", number, 9))),
            hostname: hostname.to_owned(),
            label: self.free_label(hostname),
            ipv4: ipv4(number),
            ipv6: ipv6(number),
            key_expiry_disabled: !tags.is_empty(),
            tags,
            advertised: BTreeSet::new(),
            enabled: BTreeSet::new(),
            online: true,
            last_seen: Timestamp::now(),
            created: Timestamp::now(),
            expires: Timestamp::now() + NODE_KEY_LIFETIME,
            authorized: true,
            external: false,
            ephemeral: false,
            node_key: format!("nodekey:{}", hexadecimal("node key", number)),
            machine_key: format!("mkey:{}", hexadecimal("machine key", number)),
        };
        self.devices.entry(device.id).or_insert(device)
    }

    /// Returns a free label: `name`, then `name-1`, `name-2`, …
    fn free_label(&self, hostname: &str) -> String {
        let name: String =
            hostname.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let taken = |label: &str| self.devices.values().any(|device| device.label == label);
        let numbered = (1_u64..).map(|number| format!("{name}-{number}"));
        std::iter::once(name.clone())
            .chain(numbered)
            .find(|label| !taken(label))
            .expect("there is always a next number")
    }
}

/// Returns a numeric id: sixteen digits that grow with every device, as the service's do.
fn numeric_id(number: u64) -> u64 {
    2_400_000_000_000_000 + number * 4_111_327
}

/// Returns an address in 100.64.0.0/10. The factor is odd, so each of its four million addresses
/// occurs once.
fn ipv4(number: u64) -> Ipv4Addr {
    let offset = u32::try_from(number * 2_423_731 % (1 << 22)).expect("it is below 2^22");
    Ipv4Addr::from_bits(Ipv4Addr::new(100, 64, 0, 0).to_bits() + offset)
}

/// Returns the IPv6 address that belongs to the IPv4 address.
fn ipv6(number: u64) -> Ipv6Addr {
    let [first, second, third, fourth] = ipv4(number).octets();
    let low = |high: u8, low: u8| u16::from_be_bytes([high, low]);
    Ipv6Addr::new(0xfd7a, 0x115c, 0xa1e0, 0xab12, 0x4843, 0xcd96, low(first, second), low(third, fourth))
}
