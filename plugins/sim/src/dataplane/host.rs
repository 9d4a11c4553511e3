use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::tunnel::Tunnel;
use crate::World;
use crate::arm::{FabricNic, NetworkFabric, has_power};
use crate::host::{Interface, KernelRoute, MAIN_TABLE, Machine, Phase, Ruleset, TAILSCALE_TABLE, Way};

/// Name of tailscaled's interface.
pub(super) const TUNNEL: &str = "tailscale0";

/// Name of the site of AKS's nodes, and of machines in their network.
pub(super) const AKS: &str = "AKS";

/// Machine as a packet meets it.
#[derive(Debug, Clone)]
pub(super) struct PathHost {
    pub(super) name: String,
    /// Names that its node in the cluster may have.
    pub(super) names: BTreeSet<String>,
    /// `AKS`, or `DC` and its network.
    pub(super) site: String,
    /// Reason why it carries no packets; `None` if it does.
    pub(super) off: Option<&'static str>,
    /// Links of its interfaces, in order: the first is `eth0`.
    pub(super) links: Vec<HostLink>,
    pub(super) kernel: HostKernel,
    /// Packet filter, which forwarded packets pass; empty for a node that AKS manages.
    pub(super) filter: Ruleset,
    pub(super) pods: BTreeSet<Ipv4Addr>,
    /// Pod CIDR of the node, if it is one with pods.
    pub(super) range: Option<Ipv4Net>,
}

/// Network that an interface is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HostLink {
    /// NIC of the fabric, by its index there.
    Azure(usize),
    /// An Ethernet segment.
    Segment(String),
}

/// Kernel state that decides about packets in a machine.
#[derive(Debug, Clone)]
pub(super) enum HostKernel {
    /// A node that AKS manages.
    Node {
        addresses: Vec<Ipv4Addr>,
        /// Pod CIDR of its cluster: packets of pods to other destinations get the node's address.
        pod_cidr: Option<Ipv4Net>,
    },
    /// A simulated machine.
    Machine {
        addresses: Vec<Ipv4Addr>,
        interfaces: BTreeMap<String, Vec<Ipv4Addr>>,
        routes: Vec<KernelRoute>,
        forwards: bool,
        /// MTU of each interface, in bytes.
        mtus: BTreeMap<String, u32>,
        /// Directions and interfaces at which the TCP segment size is clamped.
        clamps: BTreeSet<(Way, String)>,
        /// Interfaces with a strict reverse path filter.
        strict: BTreeSet<String>,
        tunnel: Option<Tunnel>,
    },
}

impl PathHost {
    /// Reads a simulated machine.
    pub(super) fn machine(machine: &Machine, world: &World, fabric: &NetworkFabric) -> Self {
        let tailnet = &world.tailnet;
        let plug = |nic: &crate::event::Nic| {
            let id = nic.id.to_ascii_lowercase();
            let at = fabric.nics.iter().position(|known| known.id == id);
            at.map_or_else(|| HostLink::Segment(format!("{}/{}", nic.network, nic.subnet)), HostLink::Azure)
        };
        let interfaces = machine.interfaces(tailnet);
        let ethernet = interfaces.iter().filter(|interface| interface.name.starts_with("eth"));
        let kernel = HostKernel::Machine {
            addresses: ethernet.flat_map(addresses).collect(),
            interfaces: interfaces.iter().map(|interface| (interface.name.clone(), addresses(interface))).collect(),
            routes: machine.routes(tailnet).into_iter().filter(|route| TABLES.contains(&route.table)).collect(),
            forwards: machine.forwards(),
            mtus: interfaces.iter().map(|each| (each.name.clone(), each.mtu)).collect(),
            clamps: machine.ruleset.clamped().collect(),
            strict: interfaces.iter().map(|each| each.name.clone()).filter(|name| is_strict(machine, name)).collect(),
            tunnel: Tunnel::of(machine, tailnet),
        };
        let name = machine.spec.name.clone();
        Self {
            names: [name.clone(), machine.hostname.clone()].into(),
            name,
            site: site(machine, fabric),
            off: why_off(machine, world),
            links: machine.spec.nics.iter().map(plug).collect(),
            kernel,
            filter: machine.ruleset.clone(),
            pods: BTreeSet::new(),
            range: None,
        }
    }

    /// Reads a cluster node, given the index of its NIC; `None` for other NICs.
    pub(super) fn node(at: usize, nic: &FabricNic) -> Option<Self> {
        let node = nic.node.as_ref()?;
        let kernel = HostKernel::Node { addresses: nic.addresses.clone(), pod_cidr: node.pod_cidr };
        Some(Self {
            name: node.name.clone(),
            names: [node.name.clone()].into(),
            site: AKS.to_owned(),
            off: None,
            links: vec![HostLink::Azure(at)],
            kernel,
            filter: Ruleset::default(),
            pods: BTreeSet::new(),
            range: None,
        })
    }

    /// Returns `true` if the address belongs to the machine, including its address in the tailnet.
    pub(super) fn owns(&self, address: Ipv4Addr) -> bool {
        match &self.kernel {
            HostKernel::Node { addresses, .. } => addresses.contains(&address),
            HostKernel::Machine { interfaces, .. } => interfaces.values().flatten().any(|own| *own == address),
        }
    }

    /// Returns the machine's connection to the tailnet, if it is up.
    pub(super) fn tunnel(&self) -> Option<&Tunnel> {
        match &self.kernel {
            HostKernel::Node { .. } => None,
            HostKernel::Machine { tunnel, .. } => tunnel.as_ref(),
        }
    }
}

/// Routing tables in the order of the rules: tailscaled's precedes the main one.
const TABLES: [u32; 2] = [TAILSCALE_TABLE, MAIN_TABLE];

/// Result of a route lookup for a packet that is not for the machine itself.
pub(super) enum RouteLookup<'a> {
    /// To a pod on the machine, which the main table has a route to.
    Pod,
    /// By this route.
    By(&'a KernelRoute),
    /// No route has a matching prefix.
    Nowhere,
}

/// Looks a route up: the tables in order, in each the longest prefix, of those the lowest metric.
pub(super) fn look_up<'a>(routes: &'a [KernelRoute], pods: &BTreeSet<Ipv4Addr>, to: Ipv4Addr) -> RouteLookup<'a> {
    for table in TABLES {
        if table == MAIN_TABLE && pods.contains(&to) {
            return RouteLookup::Pod;
        }
        let matching = routes.iter().filter(|route| route.table == table && route.prefix.contains(&to));
        if let Some(best) = matching.max_by_key(|route| (route.prefix.prefix_len(), Reverse(route.metric))) {
            return RouteLookup::By(best);
        }
    }
    RouteLookup::Nowhere
}

/// Returns the reason why a machine carries no packets.
fn why_off(machine: &Machine, world: &World) -> Option<&'static str> {
    if !has_power(&world.arm, &machine.spec.id) {
        return Some("the machine is stopped");
    }
    (machine.phase == Phase::Booting).then_some("the machine has not booted yet")
}

/// Returns the site of a machine. Machines in the network of AKS's nodes belong to that site.
fn site(machine: &Machine, fabric: &NetworkFabric) -> String {
    let network = machine.spec.nics.first().map(|nic| nic.network.as_str()).unwrap_or_default();
    let of_nodes = fabric.nics.iter().filter(|nic| nic.node.is_some());
    let mut networks = of_nodes.filter_map(|nic| fabric.subnets.get(&nic.subnet)?.network.rsplit('/').next());
    let is_aks = networks.any(|other| other.eq_ignore_ascii_case(network));
    if is_aks { AKS.to_owned() } else { format!("DC {network}") }
}

fn addresses(interface: &Interface) -> Vec<Ipv4Addr> {
    interface.addresses.iter().map(Ipv4Net::addr).collect()
}

/// Returns `true` for a strict reverse path filter. The stronger of the interface's setting and the
/// one for all applies; 1 is strict, 2 is loose.
fn is_strict(machine: &Machine, interface: &str) -> bool {
    let setting = |name: &str| machine.sysctls.get(&format!("net.ipv4.conf.{name}.rp_filter")).map(String::as_str);
    setting("all").max(setting(interface)) == Some("1")
}
