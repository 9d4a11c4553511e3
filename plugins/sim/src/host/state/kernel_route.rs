use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Routing table of tailscaled, which has priority over the main one.
pub const TAILSCALE_TABLE: u32 = 52;
/// Main routing table of the kernel.
pub const MAIN_TABLE: u32 = 254;
/// Routing table with the machine's own addresses.
pub(in crate::host) const LOCAL_TABLE: u32 = 255;

/// Route in a routing table of the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelRoute {
    /// Destination of the route.
    pub prefix: Ipv4Net,
    /// Type: `unicast`, `blackhole`, `unreachable`, `prohibit`, `local` or `broadcast`.
    pub kind: String,
    /// Next hop; `None` if the destination is on the link.
    pub gateway: Option<Ipv4Addr>,
    /// Interface; `None` for a blackhole and similar types.
    pub device: Option<String>,
    /// Origin of the route; `boot` for `ip route add`.
    pub protocol: String,
    /// Scope: `global`, `link` or `host`.
    pub scope: String,
    /// Source address of packets that the machine itself sends.
    pub source: Option<Ipv4Addr>,
    /// Metric: among routes for the same prefix the lowest one is used.
    pub metric: u32,
    /// Number of the routing table.
    pub table: u32,
}

impl KernelRoute {
    /// Returns the route that `ip route add PREFIX` makes without further words.
    pub fn to(prefix: Ipv4Net) -> Self {
        Self {
            prefix,
            kind: "unicast".to_owned(),
            gateway: None,
            device: None,
            protocol: "boot".to_owned(),
            scope: "global".to_owned(),
            source: None,
            metric: 0,
            table: MAIN_TABLE,
        }
    }

    /// Returns true if the kernel does not accept both routes: same table, prefix and metric.
    pub fn collides(&self, other: &Self) -> bool {
        (self.table, self.prefix, self.metric) == (other.table, other.prefix, other.metric)
    }

    /// Returns the object that `ip -json route show` prints.
    pub fn json(&self) -> Value {
        let mut shown = Map::new();
        if self.kind != "unicast" {
            shown.insert("type".to_owned(), self.kind.clone().into());
        }
        shown.insert("dst".to_owned(), shown_prefix(self.prefix).into());
        let mut add = |name: &str, value: Option<Value>| drop(value.map(|value| shown.insert(name.to_owned(), value)));
        add("gateway", self.gateway.map(|gateway| gateway.to_string().into()));
        add("dev", self.device.clone().map(Value::from));
        add("protocol", (self.protocol != "boot").then(|| self.protocol.clone().into()));
        add("scope", (self.scope != "global").then(|| self.scope.clone().into()));
        add("prefsrc", self.source.map(|source| source.to_string().into()));
        add("metric", (self.metric != 0).then(|| self.metric.into()));
        add("flags", Some(json!([])));
        Value::Object(shown)
    }

    /// Returns the line that `ip route show` prints.
    pub fn text(&self) -> String {
        let mut words: Vec<String> = Vec::new();
        if self.kind != "unicast" {
            words.push(self.kind.clone());
        }
        words.push(shown_prefix(self.prefix));
        let mut add = |name: &str, value: Option<String>| words.extend(value.map(|value| format!("{name} {value}")));
        add("via", self.gateway.map(|gateway| gateway.to_string()));
        add("dev", self.device.clone());
        add("proto", (self.protocol != "boot").then(|| self.protocol.clone()));
        add("scope", (self.scope != "global").then(|| self.scope.clone()));
        add("src", self.source.map(|source| source.to_string()));
        add("metric", (self.metric != 0).then(|| self.metric.to_string()));
        format!("{} \n", words.join(" "))
    }
}

/// Returns a prefix as iproute2 shows it: `default`, an address, or address and length.
fn shown_prefix(prefix: Ipv4Net) -> String {
    match prefix.prefix_len() {
        0 => "default".to_owned(),
        32 => prefix.addr().to_string(),
        _ => prefix.to_string(),
    }
}
