use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::state::{KernelRoute, LOCAL_TABLE, MAIN_TABLE, Machine, TAILSCALE_TABLE};
use crate::event::Nic;
use crate::tailnet::Tailnet;

/// Maximum packet size in bytes of Ethernet, of Azure's NICs and of pods.
pub(crate) const ETHERNET_MTU: u32 = 1500;
/// Maximum packet size in bytes of the tunnel interface.
///
/// A packet of this size fits into the encapsulation on every path of the internet.
const TAILSCALE_MTU: u32 = 1280;
/// Address on which tailscaled answers DNS on every machine.
const MAGIC_DNS: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 100);

/// Network interface with its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Index of the interface, from 1.
    pub index: u32,
    /// Name, such as `eth0`.
    pub name: String,
    /// Maximum packet size in bytes.
    pub mtu: u32,
    /// Hardware address, as Linux writes it; empty for loopback and a tunnel.
    pub mac: String,
    /// IPv4 addresses with their prefix lengths.
    pub addresses: Vec<Ipv4Net>,
}

/// Result of a route lookup in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// The destination is an address of the machine.
    Local(Ipv4Addr),
    /// The packet leaves by this route, with this source address.
    Route(KernelRoute, Option<Ipv4Addr>),
    /// No route matches, or the best one rejects the packet.
    Unreachable,
}

impl Machine {
    /// Returns the existing interfaces with the addresses in force.
    ///
    /// Loopback is the first one. `tailscale0` exists while tailscaled's unit is active.
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

    /// Returns the machine's address in the tailnet, or `None` while it is not connected.
    pub fn tailscale_address(&self, tailnet: &Tailnet) -> Option<Ipv4Addr> {
        if !self.tailscale_running(tailnet) {
            return None;
        }
        self.tailscaled.node.as_ref().and_then(|node| tailnet.device(node)).map(|device| device.ipv4)
    }

    /// Returns the routes in force of all tables, sorted by table and prefix.
    pub fn routes(&self, tailnet: &Tailnet) -> Vec<KernelRoute> {
        let mut routes = self.kernel_routes.clone();
        routes.extend(self.tailscale_routes(tailnet));
        routes.extend(self.interfaces(tailnet).iter().flat_map(own_routes));
        routes.sort_by_key(|route| (route.table, route.prefix.network(), route.prefix.prefix_len(), route.metric));
        routes
    }

    /// Looks up the route of a packet that the machine itself sends.
    ///
    /// tailscaled's table comes before the main one. In each table the longest prefix is used.
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

    /// Returns the routes that tailscaled installs in table 52.
    ///
    /// They lead to each peer and, with `--accept-routes`, to the approved routes of peers.
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

/// Returns the local routes that the kernel derives from the addresses of an interface.
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

/// Returns the route with the longest prefix and then the lowest metric.
fn best(routes: &[KernelRoute], table: u32, destination: Ipv4Addr) -> Option<&KernelRoute> {
    let matching = routes.iter().filter(|route| route.table == table && route.prefix.contains(&destination));
    matching.max_by_key(|route| (route.prefix.prefix_len(), std::cmp::Reverse(route.metric)))
}

/// Returns the first address of the route's interface.
fn source_address(route: &KernelRoute, interfaces: &[Interface]) -> Option<Ipv4Addr> {
    let interface = interfaces.iter().find(|interface| Some(&interface.name) == route.device.as_ref())?;
    interface.addresses.first().map(Ipv4Net::addr)
}

/// Converts a hardware address from Azure's form, `7C-1E-52-00-00-01`, to `7c:1e:52:00:00:01`.
pub(super) fn linux_mac(nic: &Nic) -> String {
    nic.mac.replace('-', ":").to_lowercase()
}
