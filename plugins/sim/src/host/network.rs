use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::machine::Machine;
use crate::event::Nic;
use crate::tailnet::Tailnet;

/// The table that tailscaled fills, ahead of the main one.
pub const TAILSCALE_TABLE: u32 = 52;
/// The main table.
pub const MAIN_TABLE: u32 = 254;
/// The table of the machine's own addresses.
pub(super) const LOCAL_TABLE: u32 = 255;
/// The largest packet of Ethernet, of Azure's NICs and of pods.
pub(crate) const ETHERNET_MTU: u32 = 1500;
/// The largest packet of tailscaled's interface, which every path of the internet carries inside another one.
const TAILSCALE_MTU: u32 = 1280;
/// Where tailscaled answers DNS on every machine.
const MAGIC_DNS: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 100);

/// A route of the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelRoute {
    /// Destination.
    pub prefix: Ipv4Net,
    /// `unicast` unless `blackhole`, `unreachable`, `prohibit`, `local` or `broadcast`.
    pub kind: String,
    /// Next hop, unless the destination is on the link.
    pub gateway: Option<Ipv4Addr>,
    /// Interface; none for a blackhole.
    pub device: Option<String>,
    /// Who made it; `boot` for `ip route add`.
    pub protocol: String,
    /// `global`, `link` or `host`.
    pub scope: String,
    /// Source address for packets of the machine's own.
    pub source: Option<Ipv4Addr>,
    /// The lower one wins among routes of one prefix.
    pub metric: u32,
    /// Table that it is in.
    pub table: u32,
}

impl KernelRoute {
    /// A route as `ip route add PREFIX` makes it, before its other words.
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

    /// Whether the kernel takes it for the same place in the table as `other`.
    pub fn collides(&self, other: &Self) -> bool {
        (self.table, self.prefix, self.metric) == (other.table, other.prefix, other.metric)
    }

    /// As `ip -json route show` has it.
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

    /// As `ip route show` has it.
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

fn shown_prefix(prefix: Ipv4Net) -> String {
    match prefix.prefix_len() {
        0 => "default".to_owned(),
        32 => prefix.addr().to_string(),
        _ => prefix.to_string(),
    }
}

/// An interface with its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// The largest packet that it takes.
    pub mtu: u32,
    /// Its hardware address, as Linux writes it; empty for a tunnel.
    pub mac: String,
    /// Its IPv4 addresses.
    pub addresses: Vec<Ipv4Net>,
}

/// An answer to "where would a packet go".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// To the machine itself.
    Local(Ipv4Addr),
    /// Out by this route, with this source address.
    Route(KernelRoute, Option<Ipv4Addr>),
    /// Nowhere.
    Unreachable,
}

impl Machine {
    /// The interfaces that exist now, with the addresses that are in force.
    pub fn interfaces(&self, tailnet: &Tailnet) -> Vec<Interface> {
        let lo = Ipv4Net::new_assert(Ipv4Addr::LOCALHOST, 8);
        let mut interfaces =
            vec![Interface { index: 1, name: "lo".to_owned(), mtu: 65536, mac: String::new(), addresses: vec![lo] }];
        for (index, nic) in (2..).zip(&self.spec.nics) {
            let name = format!("eth{}", index - 2);
            let addresses = self.addresses.get(&name).cloned().unwrap_or_default();
            interfaces.push(Interface { index, name, mtu: ETHERNET_MTU, mac: linux_mac(nic), addresses });
        }
        if self.unit_active("tailscaled") {
            let address = self.tailscale_address(tailnet).map(Ipv4Net::from);
            let index = u32::try_from(interfaces.len()).unwrap_or_default() + 2;
            let name = "tailscale0".to_owned();
            let addresses = address.into_iter().collect();
            interfaces.push(Interface { index, name, mtu: TAILSCALE_MTU, mac: String::new(), addresses });
        }
        interfaces
    }

    /// The machine's address in the tailnet while it is connected.
    pub fn tailscale_address(&self, tailnet: &Tailnet) -> Option<Ipv4Addr> {
        if !self.tailscale_running(tailnet) {
            return None;
        }
        self.tailscaled.node.as_ref().and_then(|node| tailnet.device(node)).map(|device| device.ipv4)
    }

    /// Every route in force, of all tables.
    pub fn routes(&self, tailnet: &Tailnet) -> Vec<KernelRoute> {
        let mut routes = self.kernel_routes.clone();
        routes.extend(self.tailscale_routes(tailnet));
        routes.extend(self.interfaces(tailnet).iter().flat_map(own_routes));
        routes.sort_by_key(|route| (route.table, route.prefix.network(), route.prefix.prefix_len(), route.metric));
        routes
    }

    /// Where a packet of the machine's own for `destination` would go: the rules in their order, in each table the longest prefix.
    pub fn look_up(&self, tailnet: &Tailnet, destination: Ipv4Addr) -> Lookup {
        let interfaces = self.interfaces(tailnet);
        let loopback = destination.is_loopback();
        if loopback || interfaces.iter().flat_map(|interface| &interface.addresses).any(|own| own.addr() == destination)
        {
            return Lookup::Local(destination);
        }
        let routes = self.routes(tailnet);
        let tables = [TAILSCALE_TABLE, MAIN_TABLE];
        let found = tables.into_iter().find_map(|table| best(&routes, table, destination));
        match found {
            Some(route) if route.kind == "unicast" => {
                let source = route.source.or_else(|| source_address(route, &interfaces));
                Lookup::Route(route.clone(), source)
            }
            _ => Lookup::Unreachable,
        }
    }

    /// What tailscaled puts into table 52: a route to every peer, and the routes of others if it accepts them.
    fn tailscale_routes(&self, tailnet: &Tailnet) -> Vec<KernelRoute> {
        let Some(node) = self.tailscaled.node.as_ref().filter(|_| self.tailscale_running(tailnet)) else {
            return Vec::new();
        };
        let peers = tailnet.peers(node).map(|peer| Ipv4Net::from(peer.ipv4));
        let mut prefixes: Vec<Ipv4Net> = peers.chain([Ipv4Net::from(MAGIC_DNS)]).collect();
        if self.tailscaled.prefs.route_all {
            let routes = tailnet.peers_routes(node).into_iter();
            prefixes.extend(routes.filter_map(|route| match route.prefix {
                ipnet::IpNet::V4(prefix) if prefix.prefix_len() > 0 => Some(prefix),
                _ => None,
            }));
        }
        let to_tunnel = |prefix| KernelRoute {
            device: Some("tailscale0".to_owned()),
            table: TAILSCALE_TABLE,
            ..KernelRoute::to(prefix)
        };
        prefixes.into_iter().map(to_tunnel).collect()
    }
}

fn own_routes(interface: &Interface) -> impl Iterator<Item = KernelRoute> {
    interface.addresses.iter().map(|address| KernelRoute {
        kind: "local".to_owned(),
        device: Some(interface.name.clone()),
        protocol: "kernel".to_owned(),
        scope: "host".to_owned(),
        source: Some(address.addr()),
        table: LOCAL_TABLE,
        ..KernelRoute::to(if interface.name == "lo" { address.trunc() } else { Ipv4Net::from(address.addr()) })
    })
}

fn best(routes: &[KernelRoute], table: u32, destination: Ipv4Addr) -> Option<&KernelRoute> {
    let matching = routes.iter().filter(|route| route.table == table && route.prefix.contains(&destination));
    matching.max_by_key(|route| (route.prefix.prefix_len(), std::cmp::Reverse(route.metric)))
}

fn source_address(route: &KernelRoute, interfaces: &[Interface]) -> Option<Ipv4Addr> {
    let interface = interfaces.iter().find(|interface| Some(&interface.name) == route.device.as_ref())?;
    interface.addresses.first().map(Ipv4Net::addr)
}

/// `7C-1E-52-00-00-01` is `7c:1e:52:00:00:01` to Linux.
pub(super) fn linux_mac(nic: &Nic) -> String {
    nic.mac.replace('-', ":").to_lowercase()
}
