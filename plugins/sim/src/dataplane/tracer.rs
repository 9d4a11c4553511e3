use std::net::Ipv4Addr;

use super::conntrack::Conntrack;
use super::host::{HostKernel, HostLink, PathHost, RouteLookup, TUNNEL, look_up};
use super::path::{DropCause, Endpoint, PacketDrop, PathTrace, TraceHop};
use super::path_mtu::PathMtu;
use super::plane::Plane;
use super::tunnel::Tunnel;
use crate::arm::Service;
use crate::host::{ForwardedPacket, KernelRoute, TAILSCALE_TABLE, Way};
use crate::kube::{PolicyDirection, PolicyFlow};

/// Name of the host's end of a pod's interface: Cilium calls it `lxc` and a number.
const POD: &str = "lxc0";

/// Maximum number of machines on a path: the time to live that Linux starts with.
const TIME_TO_LIVE: u32 = 64;

/// Way by which a packet entered a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ingress {
    /// A program or a pod of the machine sent it.
    Here,
    /// By the interface with this index.
    Interface(usize),
    /// It came out of the tunnel.
    Tunnel,
}

impl Ingress {
    /// Returns the name of the interface, or `None` for packets of the machine itself.
    fn device(self) -> Option<String> {
        match self {
            Self::Here => None,
            Self::Interface(index) => Some(format!("eth{index}")),
            Self::Tunnel => Some(TUNNEL.to_owned()),
        }
    }
}

/// Source address that a machine has changed, so that replies find the way back.
#[derive(Debug, Clone, Copy)]
struct Translation {
    host: usize,
    far: Ipv4Addr,
    given: Ipv4Addr,
    original: Ipv4Addr,
}

/// Packet on its path.
#[derive(Debug, Clone, Copy)]
struct TracedPacket {
    source: Ipv4Addr,
    to: Ipv4Addr,
    is_reply: bool,
}

/// Decision of a machine about a packet.
enum HostDecision {
    Arrived,
    Moved(usize, Ingress),
    /// It continues here with another destination.
    Again,
}

/// True if the cause lies at the machine itself.
fn is_final(cause: DropCause) -> bool {
    matches!(
        cause,
        DropCause::MachineOff
            | DropCause::PodRange
            | DropCause::NicForwarding
            | DropCause::KernelForwarding
            | DropCause::ForwardFilter
            | DropCause::NetworkPolicy
            | DropCause::AccessRule
    )
}

/// Tracer of a request and its reply: what machines record about the one applies to the other.
pub(super) struct Tracer<'a> {
    plane: &'a Plane,
    records_hops: bool,
    hops: Vec<TraceHop>,
    translations: Vec<Translation>,
    conntrack: Conntrack,
    /// Reason why the tailnet did not take the packet at the last machine.
    suspect: Option<PacketDrop>,
    mtu: PathMtu<'a>,
}

impl<'a> Tracer<'a> {
    /// Returns a tracer that records hops if `records_hops` is set.
    pub(super) fn new(plane: &'a Plane, service: Service, records_hops: bool) -> Self {
        let (conntrack, mtu) = (Conntrack::new(service), PathMtu::default());
        Self { plane, records_hops, hops: Vec::new(), translations: Vec::new(), conntrack, suspect: None, mtu }
    }

    /// Traces one packet. Returns its hops, its source address on arrival, and the sizes that the
    /// path takes.
    pub(super) fn trace(
        &mut self,
        from: &Endpoint,
        source: Ipv4Addr,
        to: Ipv4Addr,
        is_reply: bool,
    ) -> (PathTrace, Ipv4Addr, PathMtu<'a>) {
        let mut packet = TracedPacket { source, to, is_reply };
        self.suspect = None;
        self.mtu = PathMtu::default();
        // An address that its node does not have, or that is not routed there, is the cause of any
        // drop of a packet for a pod.
        let died = self.carry(&from.host, &mut packet).err();
        let died =
            died.map(|death| if is_final(death.cause) { death } else { self.plane.range_gap(to).unwrap_or(death) });
        (PathTrace { hops: std::mem::take(&mut self.hops), died }, packet.source, self.mtu)
    }

    /// Moves a packet from machine to machine until it arrives or is dropped.
    fn carry(&mut self, host: &str, packet: &mut TracedPacket) -> Result<(), PacketDrop> {
        let start = self.plane.host_index(host);
        let mut at = start.ok_or_else(|| PacketDrop::new(host, DropCause::Nobody, "the machine is gone"))?;
        self.plane.hosts[at].sends(packet.source)?;
        self.admits(&self.plane.hosts[at], PolicyDirection::Egress, packet)?;
        self.leave_pod(at, packet);
        let mut entered = Ingress::Here;
        for _ in 0..TIME_TO_LIVE {
            match self.at_host(at, entered, packet).map_err(|death| self.suspect.take().unwrap_or(death))? {
                HostDecision::Arrived => return Ok(()),
                HostDecision::Again => {}
                HostDecision::Moved(next, by) => {
                    if next != at {
                        self.suspect = None;
                    }
                    (at, entered) = (next, by);
                }
            }
        }
        let why = format!("packet for {} went round until its time to live was over", packet.to);
        let death = || PacketDrop::new(&self.plane.hosts[at].name, DropCause::Loop, why);
        Err(self.suspect.take().unwrap_or_else(death))
    }

    /// Handles a packet at a machine.
    fn at_host(&mut self, at: usize, entered: Ingress, packet: &mut TracedPacket) -> Result<HostDecision, PacketDrop> {
        let host = &self.plane.hosts[at];
        host.runs()?;
        if host.owns(packet.to) {
            return Ok(self.delivered(at, packet));
        }
        match &host.kernel {
            HostKernel::Node { pod_cidr, addresses } => {
                let is_outside = pod_cidr.is_some_and(|pods| !pods.contains(&packet.to));
                self.at_node(at, entered, packet, addresses.first().copied().filter(|_| is_outside))
            }
            HostKernel::Machine { routes, forwards, tunnel, .. } => {
                Self::enters(host, entered, *forwards, packet)?;
                match look_up(routes, &host.pods, packet.to) {
                    RouteLookup::Pod => {
                        self.passes_filter(host, entered, POD, packet)?;
                        self.hand_to_pod(host, packet)
                    }
                    RouteLookup::By(route) => {
                        Self::captured(host, entered, route, packet)?;
                        Self::filtered(host, entered, route, packet)?;
                        self.passes_filter(host, entered, route.device.as_deref().unwrap_or_default(), packet)?;
                        self.fits(host, entered, route, packet);
                        self.masquerade(at, entered, route, tunnel.as_ref(), packet);
                        self.out(at, route, packet)
                    }
                    RouteLookup::Nowhere => {
                        let why = format!("the kernel has no route to {}", packet.to);
                        Err(PacketDrop::new(&host.name, DropCause::KernelRoute, why))
                    }
                }
            }
        }
    }

    /// Handles a packet for the machine itself. The reply to a translated packet gets its original
    /// destination and continues.
    fn delivered(&mut self, at: usize, packet: &mut TracedPacket) -> HostDecision {
        let is = |known: &&Translation| known.host == at && known.given == packet.to && known.far == packet.source;
        let known = self.translations.iter().find(is).filter(|_| packet.is_reply).map(|known| known.original);
        if let Some(original) = known {
            self.record(at, || format!("gives the reply for {} back to {original}", packet.to));
            packet.to = original;
            return HostDecision::Again;
        }
        self.record(at, || format!("has {}", packet.to));
        HostDecision::Arrived
    }

    /// Delivers a packet to a pod of the machine.
    fn hand_to_pod(&mut self, host: &PathHost, packet: &TracedPacket) -> Result<HostDecision, PacketDrop> {
        // A node always reaches its own pods.
        if !host.owns(packet.source) {
            self.admits(host, PolicyDirection::Ingress, packet)?;
        }
        self.record_at(&host.name, || format!("hands {} to its pod", packet.to));
        Ok(HostDecision::Arrived)
    }

    /// Drops a request that the network policies do not admit at one of its ends. They know
    /// connections, and let replies pass.
    fn admits(&self, host: &PathHost, direction: PolicyDirection, packet: &TracedPacket) -> Result<(), PacketDrop> {
        let (own, peer) = match direction {
            PolicyDirection::Egress => (packet.source, packet.to),
            PolicyDirection::Ingress => (packet.to, packet.source),
        };
        let flow = PolicyFlow { direction, own, peer, port: self.conntrack.port() };
        match self.plane.policies.denial(&flow).filter(|_| !packet.is_reply) {
            None => Ok(()),
            Some(policies) => {
                let why = format!("network policies {policies} do not admit {} to {}", packet.source, packet.to);
                Err(PacketDrop::new(&host.name, DropCause::NetworkPolicy, why))
            }
        }
    }

    /// Drops a request that the access rules of the tailnet do not admit, where it leaves the
    /// tunnel.
    fn admitted(&self, receiver: &PathHost, packet: &TracedPacket) -> Result<(), PacketDrop> {
        if packet.is_reply || self.plane.access.admits(packet.source, packet.to, self.conntrack.port()) {
            return Ok(());
        }
        let why = format!("no access rule of the tailnet admits {} to {}", packet.source, packet.to);
        Err(PacketDrop::new(&receiver.name, DropCause::AccessRule, why))
    }

    /// Translates the source of a pod's packet to another pod, if the agent of the node does.
    fn leave_pod(&mut self, at: usize, packet: &mut TracedPacket) {
        let host = &self.plane.hosts[at];
        let is_pod = |address| self.plane.pods().iter().any(|pod| pod.ip == address);
        let concerned = !packet.is_reply && !host.owns(packet.source) && !host.pods.contains(&packet.to);
        let own = self.plane.masquerade.source_for(host, packet.to);
        if let Some(own) = own.filter(|_| concerned && is_pod(packet.to)) {
            self.translate(at, own, packet);
        }
    }

    /// Handles a packet at a node of AKS: Azure carries pods' packets between nodes, everything
    /// else leaves by the NIC.
    fn at_node(
        &mut self,
        at: usize,
        entered: Ingress,
        packet: &mut TracedPacket,
        mask: Option<Ipv4Addr>,
    ) -> Result<HostDecision, PacketDrop> {
        let host = &self.plane.hosts[at];
        if host.pods.contains(&packet.to) {
            return self.hand_to_pod(host, packet);
        }
        let network = |host: &PathHost| match host.links.first() {
            Some(HostLink::Azure(nic)) => {
                self.plane.subnet(&self.plane.fabric.nics[*nic]).map(|subnet| subnet.network.as_str())
            }
            _ => None,
        };
        let is_peer = |other: &PathHost| {
            matches!(other.kernel, HostKernel::Node { .. })
                && other.pods.contains(&packet.to)
                && network(other) == network(host)
        };
        if let Some(peer) = self.plane.hosts.iter().position(is_peer).filter(|_| entered == Ingress::Here) {
            if let (Some(HostLink::Azure(from)), Some(HostLink::Azure(to))) =
                (host.links.first(), self.plane.hosts[peer].links.first())
            {
                self.conntrack.pass(self.plane, [*from, *to], (packet.source, packet.to))?;
            }
            self.record(at, || format!("Azure carries {} to node {}", packet.to, self.plane.hosts[peer].name));
            return Ok(HostDecision::Moved(peer, Ingress::Interface(0)));
        }
        if let Some(own) = mask.filter(|_| host.pods.contains(&packet.source) && !packet.is_reply) {
            self.translate(at, own, packet);
        }
        self.leave_by_nic(at, 0, packet)
    }

    /// Applies forwarding and the reverse path filter, before the route lookup.
    fn enters(host: &PathHost, entered: Ingress, forwards: bool, packet: &TracedPacket) -> Result<(), PacketDrop> {
        let HostKernel::Machine { routes, strict, .. } = &host.kernel else { return Ok(()) };
        let device = entered.device();
        // What a pod sends comes into the kernel by the pod's own interface and is passed on too.
        let is_passed_on = device.is_some() || host.pods.contains(&packet.source);
        if is_passed_on && !forwards {
            let why = format!("the kernel does not forward packet for {} (net.ipv4.ip_forward)", packet.to);
            return Err(PacketDrop::new(&host.name, DropCause::KernelForwarding, why));
        }
        let back = |device: &String| match look_up(routes, &host.pods, packet.source) {
            RouteLookup::By(route) => route.device.as_ref() == Some(device),
            RouteLookup::Pod | RouteLookup::Nowhere => false,
        };
        match device.filter(|device| strict.contains(device) && !back(device)) {
            None => Ok(()),
            Some(device) => {
                let why = format!("rp_filter of {device} drops source {}, whose way back is another", packet.source);
                Err(PacketDrop::new(&host.name, DropCause::ReversePath, why))
            }
        }
    }

    /// Drops a packet for this side that a route of the tailnet takes before the main table is
    /// asked.
    fn captured(
        host: &PathHost,
        entered: Ingress,
        route: &KernelRoute,
        packet: &TracedPacket,
    ) -> Result<(), PacketDrop> {
        let is_local = entered == Ingress::Tunnel
            || host.pods.contains(&packet.to)
            || host.tunnel().is_some_and(|tunnel| tunnel.serves(packet.to, route.prefix));
        if route.table != TAILSCALE_TABLE || !is_local {
            return Ok(());
        }
        let why =
            format!("route {} of the tailnet takes packet for {}, which is on this side", route.prefix, packet.to);
        Err(PacketDrop::new(&host.name, DropCause::Captured, why))
    }

    /// Drops a packet into the tunnel that answers nothing, if tailscaled filters statefully.
    fn filtered(
        host: &PathHost,
        entered: Ingress,
        route: &KernelRoute,
        packet: &TracedPacket,
    ) -> Result<(), PacketDrop> {
        let is_begun_here = entered == Ingress::Here && !host.pods.contains(&packet.source);
        let filters = host.tunnel().is_some_and(|tunnel| tunnel.filters) && !is_begun_here && !packet.is_reply;
        if !filters || route.device.as_deref() != Some(TUNNEL) {
            return Ok(());
        }
        let why = format!("tailscaled filters statefully and admits no new connection from behind it to {}", packet.to);
        Err(PacketDrop::new(&host.name, DropCause::StatefulFiltering, why))
    }

    /// Drops a forwarded packet that a chain of the packet filter does not accept.
    fn passes_filter(
        &self,
        host: &PathHost,
        entered: Ingress,
        leaves: &str,
        packet: &TracedPacket,
    ) -> Result<(), PacketDrop> {
        let device = entered.device();
        let from_pod = device.is_none() && host.pods.contains(&packet.source);
        if device.is_none() && !from_pod {
            return Ok(());
        }
        let forwarded = ForwardedPacket {
            enters: device.as_deref().unwrap_or(POD),
            leaves,
            source: packet.source,
            destination: packet.to,
            is_reply: packet.is_reply,
            port: self.conntrack.port().filter(|_| !packet.is_reply),
            is_pods: from_pod || leaves == POD,
        };
        let Some(drop) = host.filter.forward_drop(&forwarded) else { return Ok(()) };
        let reason = if drop.by_policy { "policy drop" } else { "a rule" };
        let why = format!("chain {} of table {} ({reason}) drops packet for {}", drop.chain, drop.table, packet.to);
        Err(PacketDrop::new(&host.name, DropCause::ForwardFilter, why))
    }

    /// Records the MTU of an interface, and the clamp to it.
    fn fits(&mut self, host: &'a PathHost, entered: Ingress, route: &'a KernelRoute, packet: &TracedPacket) {
        let HostKernel::Machine { mtus, clamps, .. } = &host.kernel else { return };
        let Some((device, mtu)) = route.device.as_deref().and_then(|device| Some((device, *mtus.get(device)?))) else {
            return;
        };
        let by = entered.device();
        if by.is_none() && !host.pods.contains(&packet.source) {
            self.mtu.sent_by(mtu);
        } else {
            let back = by.as_ref().and_then(|device| mtus.get(device)).copied().unwrap_or(mtu);
            let comes_in = by.is_some_and(|device| clamps.contains(&(Way::In, device)));
            if comes_in || clamps.contains(&(Way::Out, device.to_owned())) {
                self.mtu.clamp(mtu.min(back));
            }
        }
        self.mtu.pass(&host.name, device, mtu, self.hops.len());
    }

    /// Replaces the source address of forwarded packets by the machine's own, unless tailscaled is
    /// configured not to.
    fn masquerade(
        &mut self,
        at: usize,
        entered: Ingress,
        route: &KernelRoute,
        tunnel: Option<&Tunnel>,
        packet: &mut TracedPacket,
    ) {
        let HostKernel::Machine { interfaces, .. } = &self.plane.hosts[at].kernel else { return };
        let device = route.device.as_deref().unwrap_or_default();
        let is_masked =
            tunnel.is_some_and(|tunnel| tunnel.masquerades) && entered == Ingress::Tunnel && device != TUNNEL;
        let own = interfaces.get(device).and_then(|own| own.first()).copied();
        if let Some(own) = own.filter(|_| is_masked && !packet.is_reply) {
            self.translate(at, own, packet);
        }
    }

    /// Replaces the source address and records the translation.
    fn translate(&mut self, at: usize, given: Ipv4Addr, packet: &mut TracedPacket) {
        let original = packet.source;
        self.record(at, || format!("changes source {original} to {given}"));
        self.translations.push(Translation { host: at, far: packet.to, given, original });
        packet.source = given;
    }

    /// Sends a packet by a route.
    fn out(&mut self, at: usize, route: &KernelRoute, packet: &TracedPacket) -> Result<HostDecision, PacketDrop> {
        let host = &self.plane.hosts[at];
        let device = route.device.as_deref().filter(|_| route.kind == "unicast");
        if device == Some(TUNNEL) {
            self.record(at, || format!("route {} sends {} into the tunnel", route.prefix, packet.to));
            let next = self.plane.route_in_tunnel(host, packet.source, packet.to)?;
            self.admitted(&self.plane.hosts[next], packet)?;
            return Ok(HostDecision::Moved(next, Ingress::Tunnel));
        }
        let index = device.and_then(|device| device.strip_prefix("eth")?.parse::<usize>().ok());
        let Some(index) = index.filter(|index| *index < host.links.len()) else {
            let why = format!("route {} of kind {} drops packet for {}", route.prefix, route.kind, packet.to);
            return Err(PacketDrop::new(&host.name, DropCause::KernelRoute, why));
        };
        self.suspect = self.plane.tailnet_gap(host, packet.to);
        match &host.links[index] {
            HostLink::Azure(_) => self.leave_by_nic(at, index, packet),
            HostLink::Segment(segment) => {
                let neighbour = route.gateway.unwrap_or(packet.to);
                let (next, by) = self.plane.on_segment(host, segment, neighbour)?;
                self.record(at, || format!("route {} sends {} to {neighbour} on {segment}", route.prefix, packet.to));
                Ok(HostDecision::Moved(next, Ingress::Interface(by)))
            }
        }
    }

    /// Sends a packet by a NIC. The routes of the subnet decide, not the neighbour that the kernel
    /// chose.
    fn leave_by_nic(&mut self, at: usize, index: usize, packet: &TracedPacket) -> Result<HostDecision, PacketDrop> {
        let host = &self.plane.hosts[at];
        let Some(HostLink::Azure(nic)) = host.links.get(index) else {
            return Err(PacketDrop::new(&host.name, DropCause::Nobody, "it has no NIC"));
        };
        let (receiver, what) = self.plane.route_in_fabric(*nic, packet.source, packet.to)?;
        self.conntrack.pass(self.plane, [*nic, receiver], (packet.source, packet.to))?;
        let subnet = self.plane.subnet(&self.plane.fabric.nics[*nic]).map(|subnet| subnet.name.as_str());
        self.record_at(subnet.unwrap_or_default(), || what);
        let (next, by) = self.plane.behind(receiver).ok_or_else(|| {
            let name = &self.plane.fabric.nics[receiver].name;
            PacketDrop::new(name, DropCause::Nobody, "no machine runs behind the NIC")
        })?;
        Ok(HostDecision::Moved(next, Ingress::Interface(by)))
    }

    /// Records a hop at a machine.
    fn record(&mut self, at: usize, what: impl FnOnce() -> String) {
        let plane = self.plane;
        self.record_at(&plane.hosts[at].name, what);
    }

    /// Records a hop, if hops are recorded.
    fn record_at(&mut self, at: &str, what: impl FnOnce() -> String) {
        if self.records_hops {
            self.hops.push(TraceHop { at: at.to_owned(), what: what() });
        }
    }
}
