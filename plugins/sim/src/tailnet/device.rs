use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Stable id of a device, such as `n292kg92CNTRL`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeId(pub String);

impl fmt::Display for NodeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Device of the tailnet.
#[expect(clippy::struct_excessive_bools, reason = "they are the API's own fields")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// Numeric id, called the legacy id by the API.
    pub id: u64,
    /// The stable id.
    pub node_id: NodeId,
    /// Host name that it reports; not unique.
    pub hostname: String,
    /// First label of its DNS name; unique.
    pub label: String,
    /// IPv4 address in the tailnet.
    pub ipv4: Ipv4Addr,
    /// IPv6 address in the tailnet.
    pub ipv6: Ipv6Addr,
    /// Tags that own it.
    pub tags: BTreeSet<String>,
    /// Routes that it advertises.
    pub advertised: BTreeSet<IpNet>,
    /// Approved routes, advertised or not.
    pub enabled: BTreeSet<IpNet>,
    /// True if it is connected to the coordination server.
    pub online: bool,
    /// Time at which it was last connected.
    pub last_seen: Timestamp,
    /// Time at which it joined.
    pub created: Timestamp,
    /// Time at which its node key expires, unless `key_expiry_disabled`.
    pub expires: Timestamp,
    /// True if its node key never expires.
    pub key_expiry_disabled: bool,
    /// True if it may exchange packets with other devices.
    pub authorized: bool,
    /// True if it is shared in from another tailnet.
    pub external: bool,
    /// True if the service removes it after it has been offline.
    pub ephemeral: bool,
    /// Public node key.
    pub node_key: String,
    /// Public machine key.
    pub machine_key: String,
}

impl Device {
    /// Returns true if its node key has expired.
    pub fn has_expired(&self) -> bool {
        !self.key_expiry_disabled && self.expires <= Timestamp::now()
    }
}
