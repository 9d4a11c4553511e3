use std::net::Ipv4Addr;

use super::group::Guards;
use super::host::{Host, Kernel, Link, Sent, TUNNEL, look_up};
use super::path::{Cause, Death, Endpoint, Hop, Trip};
use super::plane::Plane;
use super::room::Room;
use super::tunnel::Tunnel;
use crate::arm::Service;
use crate::host::{KernelRoute, TAILSCALE_TABLE, Way};

/// Machines that a packet passes before its time to live is over: Linux starts with 64.
const TIME_TO_LIVE: u32 = 64;

/// Where a packet came into a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entered {
    /// A program or a pod of the machine sent it.
    Here,
    /// By this interface.
    Interface(usize),
    /// Out of the tunnel.
    Tunnel,
}

impl Entered {
    fn device(self) -> Option<String> {
        match self {
            Self::Here => None,
            Self::Interface(index) => Some(format!("eth{index}")),
            Self::Tunnel => Some(TUNNEL.to_owned()),
        }
    }
}

/// A source address that a machine has changed, so that replies find back.
#[derive(Debug, Clone, Copy)]
struct Translation {
    host: usize,
    far: Ipv4Addr,
    given: Ipv4Addr,
    original: Ipv4Addr,
}

/// A packet under way.
#[derive(Debug, Clone, Copy)]
struct Packet {
    source: Ipv4Addr,
    to: Ipv4Addr,
    is_reply: bool,
}

/// What a machine did with a packet.
enum Step {
    Arrived,
    Moved(usize, Entered),
    /// It goes on here with another destination.
    Again,
}

/// Whether nothing about the destination can be the reason.
fn is_final(cause: Cause) -> bool {
    matches!(cause, Cause::MachineOff | Cause::PodRange | Cause::NicForwarding | Cause::KernelForwarding)
}

/// A request and its reply under way: what machines remember of the one is true for the other.
pub(super) struct Walk<'a> {
    plane: &'a Plane,
    is_told: bool,
    hops: Vec<Hop>,
    translations: Vec<Translation>,
    guards: Guards,
    /// Why the tailnet did not take the packet at the machine that it was last at.
    suspect: Option<Death>,
    room: Room<'a>,
}

impl<'a> Walk<'a> {
    /// A walk that keeps its hops if it is to be told.
    pub(super) fn new(plane: &'a Plane, service: Service, is_told: bool) -> Self {
        let (guards, room) = (Guards::new(service), Room::default());
        Self { plane, is_told, hops: Vec::new(), translations: Vec::new(), guards, suspect: None, room }
    }

    /// One packet's way, the source address that it arrived with, and what room there was for a larger one.
    pub(super) fn trip(
        &mut self,
        from: &Endpoint,
        source: Ipv4Addr,
        to: Ipv4Addr,
        is_reply: bool,
    ) -> (Trip, Ipv4Addr, Room<'a>) {
        let mut packet = Packet { source, to, is_reply };
        self.suspect = None;
        self.room = Room::default();
        // Whatever ended a packet for a pod: that its address is not its node's, or not what is routed there, is the cause.
        let died = self.carry(&from.host, &mut packet).err();
        let died =
            died.map(|death| if is_final(death.cause) { death } else { self.plane.range_gap(to).unwrap_or(death) });
        (Trip { hops: std::mem::take(&mut self.hops), died }, packet.source, self.room)
    }

    fn carry(&mut self, host: &str, packet: &mut Packet) -> Result<(), Death> {
        let start = self.plane.host_index(host);
        let mut at = start.ok_or_else(|| Death::new(host, Cause::Nobody, "the machine is gone"))?;
        self.plane.hosts[at].sends(packet.source)?;
        let mut entered = Entered::Here;
        for _ in 0..TIME_TO_LIVE {
            match self.at_host(at, entered, packet).map_err(|death| self.suspect.take().unwrap_or(death))? {
                Step::Arrived => return Ok(()),
                Step::Again => {}
                Step::Moved(next, by) => {
                    if next != at {
                        self.suspect = None;
                    }
                    (at, entered) = (next, by);
                }
            }
        }
        let why = format!("packet for {} went round until its time to live was over", packet.to);
        let death = || Death::new(&self.plane.hosts[at].name, Cause::Loop, why);
        Err(self.suspect.take().unwrap_or_else(death))
    }

    fn at_host(&mut self, at: usize, entered: Entered, packet: &mut Packet) -> Result<Step, Death> {
        let host = &self.plane.hosts[at];
        host.runs()?;
        if host.owns(packet.to) {
            return Ok(self.delivered(at, packet));
        }
        match &host.kernel {
            Kernel::Node { pod_cidr, addresses } => {
                let is_outside = pod_cidr.is_some_and(|pods| !pods.contains(&packet.to));
                self.at_node(at, entered, packet, addresses.first().copied().filter(|_| is_outside))
            }
            Kernel::Machine { routes, forwards, tunnel, .. } => {
                Self::enters(host, entered, *forwards, packet)?;
                match look_up(routes, &host.pods, packet.to) {
                    Sent::Pod => Ok(self.hand_to_pod(host, packet)),
                    Sent::By(route) => {
                        Self::captured(host, entered, route, packet)?;
                        Self::filtered(host, entered, route, packet)?;
                        self.fits(host, entered, route, packet);
                        self.masquerade(at, entered, route, tunnel.as_ref(), packet);
                        self.out(at, route, packet)
                    }
                    Sent::Nowhere => {
                        let why = format!("the kernel has no route to {}", packet.to);
                        Err(Death::new(&host.name, Cause::KernelRoute, why))
                    }
                }
            }
        }
    }

    /// A packet for the machine itself: a reply to what it has passed on under its own address goes on.
    fn delivered(&mut self, at: usize, packet: &mut Packet) -> Step {
        let is = |known: &&Translation| known.host == at && known.given == packet.to && known.far == packet.source;
        let known = self.translations.iter().find(is).filter(|_| packet.is_reply).map(|known| known.original);
        if let Some(original) = known {
            self.tell(at, || format!("gives the reply for {} back to {original}", packet.to));
            packet.to = original;
            return Step::Again;
        }
        self.tell(at, || format!("has {}", packet.to));
        Step::Arrived
    }

    fn hand_to_pod(&mut self, host: &Host, packet: &Packet) -> Step {
        self.tell_at(&host.name, || format!("hands {} to its pod", packet.to));
        Step::Arrived
    }

    /// AKS's own nodes: pods among each other are carried by Azure, everything else leaves by the NIC.
    fn at_node(
        &mut self,
        at: usize,
        entered: Entered,
        packet: &mut Packet,
        mask: Option<Ipv4Addr>,
    ) -> Result<Step, Death> {
        let host = &self.plane.hosts[at];
        if host.pods.contains(&packet.to) {
            return Ok(self.hand_to_pod(host, packet));
        }
        let network = |host: &Host| match host.links.first() {
            Some(Link::Azure(nic)) => {
                self.plane.subnet(&self.plane.fabric.nics[*nic]).map(|subnet| subnet.network.as_str())
            }
            _ => None,
        };
        let is_peer = |other: &Host| {
            matches!(other.kernel, Kernel::Node { .. })
                && other.pods.contains(&packet.to)
                && network(other) == network(host)
        };
        if let Some(peer) = self.plane.hosts.iter().position(is_peer).filter(|_| entered == Entered::Here) {
            if let (Some(Link::Azure(from)), Some(Link::Azure(to))) =
                (host.links.first(), self.plane.hosts[peer].links.first())
            {
                self.guards.pass(self.plane, [*from, *to], (packet.source, packet.to))?;
            }
            self.tell(at, || format!("Azure carries {} to node {}", packet.to, self.plane.hosts[peer].name));
            return Ok(Step::Moved(peer, Entered::Interface(0)));
        }
        if let Some(own) = mask.filter(|_| host.pods.contains(&packet.source) && !packet.is_reply) {
            self.translate(at, own, packet);
        }
        self.leave_by_nic(at, 0, packet)
    }

    /// What the kernel does before it looks for a route.
    fn enters(host: &Host, entered: Entered, forwards: bool, packet: &Packet) -> Result<(), Death> {
        let Kernel::Machine { routes, strict, .. } = &host.kernel else { return Ok(()) };
        let device = entered.device();
        // What a pod sends comes into the kernel by the pod's own interface and is passed on too.
        let is_passed_on = device.is_some() || host.pods.contains(&packet.source);
        if is_passed_on && !forwards {
            let why = format!("the kernel does not forward packet for {} (net.ipv4.ip_forward)", packet.to);
            return Err(Death::new(&host.name, Cause::KernelForwarding, why));
        }
        let back = |device: &String| match look_up(routes, &host.pods, packet.source) {
            Sent::By(route) => route.device.as_ref() == Some(device),
            Sent::Pod | Sent::Nowhere => false,
        };
        match device.filter(|device| strict.contains(device) && !back(device)) {
            None => Ok(()),
            Some(device) => {
                let why = format!("rp_filter of {device} drops source {}, whose way back is another", packet.source);
                Err(Death::new(&host.name, Cause::ReversePath, why))
            }
        }
    }

    /// A route of the tailnet takes a packet before the main table is asked, even one that is to be delivered on this side.
    fn captured(host: &Host, entered: Entered, route: &KernelRoute, packet: &Packet) -> Result<(), Death> {
        let is_ours = entered == Entered::Tunnel
            || host.pods.contains(&packet.to)
            || host.tunnel().is_some_and(|tunnel| tunnel.serves(packet.to, route.prefix));
        if route.table != TAILSCALE_TABLE || !is_ours {
            return Ok(());
        }
        let why =
            format!("route {} of the tailnet takes packet for {}, which is on this side", route.prefix, packet.to);
        Err(Death::new(&host.name, Cause::Captured, why))
    }

    /// tailscaled that filters statefully passes into the tunnel only what answers.
    fn filtered(host: &Host, entered: Entered, route: &KernelRoute, packet: &Packet) -> Result<(), Death> {
        let is_begun_here = entered == Entered::Here && !host.pods.contains(&packet.source);
        let filters = host.tunnel().is_some_and(|tunnel| tunnel.filters) && !is_begun_here && !packet.is_reply;
        if !filters || route.device.as_deref() != Some(TUNNEL) {
            return Ok(());
        }
        let why =
            format!("tailscaled filters statefully and lets nobody behind it begin a connection to {}", packet.to);
        Err(Death::new(&host.name, Cause::StatefulFiltering, why))
    }

    /// Notes the size that an interface takes, and what is clamped to it.
    fn fits(&mut self, host: &'a Host, entered: Entered, route: &'a KernelRoute, packet: &Packet) {
        let Kernel::Machine { mtus, clamps, .. } = &host.kernel else { return };
        let Some((device, mtu)) = route.device.as_deref().and_then(|device| Some((device, *mtus.get(device)?))) else {
            return;
        };
        let by = entered.device();
        if by.is_none() && !host.pods.contains(&packet.source) {
            self.room.sent_by(mtu);
        } else {
            let back = by.as_ref().and_then(|device| mtus.get(device)).copied().unwrap_or(mtu);
            let comes_in = by.is_some_and(|device| clamps.contains(&(Way::In, device)));
            if comes_in || clamps.contains(&(Way::Out, device.to_owned())) {
                self.room.clamp(mtu.min(back));
            }
        }
        self.room.pass(&host.name, device, mtu, self.hops.len());
    }

    /// tailscaled gives what it passes on its own address, unless told not to.
    fn masquerade(
        &mut self,
        at: usize,
        entered: Entered,
        route: &KernelRoute,
        tunnel: Option<&Tunnel>,
        packet: &mut Packet,
    ) {
        let Kernel::Machine { interfaces, .. } = &self.plane.hosts[at].kernel else { return };
        let device = route.device.as_deref().unwrap_or_default();
        let is_masked =
            tunnel.is_some_and(|tunnel| tunnel.masquerades) && entered == Entered::Tunnel && device != TUNNEL;
        let own = interfaces.get(device).and_then(|own| own.first()).copied();
        if let Some(own) = own.filter(|_| is_masked && !packet.is_reply) {
            self.translate(at, own, packet);
        }
    }

    fn translate(&mut self, at: usize, given: Ipv4Addr, packet: &mut Packet) {
        let original = packet.source;
        self.tell(at, || format!("changes source {original} to {given}"));
        self.translations.push(Translation { host: at, far: packet.to, given, original });
        packet.source = given;
    }

    /// Sends a packet by a route.
    fn out(&mut self, at: usize, route: &KernelRoute, packet: &Packet) -> Result<Step, Death> {
        let host = &self.plane.hosts[at];
        let device = route.device.as_deref().filter(|_| route.kind == "unicast");
        if device == Some(TUNNEL) {
            self.tell(at, || format!("route {} sends {} into the tunnel", route.prefix, packet.to));
            let next = self.plane.through_tunnel(host, packet.source, packet.to)?;
            return Ok(Step::Moved(next, Entered::Tunnel));
        }
        let index = device.and_then(|device| device.strip_prefix("eth")?.parse::<usize>().ok());
        let Some(index) = index.filter(|index| *index < host.links.len()) else {
            let why = format!("route {} of kind {} drops packet for {}", route.prefix, route.kind, packet.to);
            return Err(Death::new(&host.name, Cause::KernelRoute, why));
        };
        self.suspect = self.plane.tailnet_gap(host, packet.to);
        match &host.links[index] {
            Link::Azure(_) => self.leave_by_nic(at, index, packet),
            Link::Segment(segment) => {
                let neighbour = route.gateway.unwrap_or(packet.to);
                let (next, by) = self.plane.on_segment(host, segment, neighbour)?;
                self.tell(at, || format!("route {} sends {} to {neighbour} on {segment}", route.prefix, packet.to));
                Ok(Step::Moved(next, Entered::Interface(by)))
            }
        }
    }

    /// Azure ignores which neighbour the kernel meant: the subnet's routes decide.
    fn leave_by_nic(&mut self, at: usize, index: usize, packet: &Packet) -> Result<Step, Death> {
        let host = &self.plane.hosts[at];
        let Some(Link::Azure(nic)) = host.links.get(index) else {
            return Err(Death::new(&host.name, Cause::Nobody, "it has no NIC"));
        };
        let (receiver, what) = self.plane.through_fabric(*nic, packet.source, packet.to)?;
        self.guards.pass(self.plane, [*nic, receiver], (packet.source, packet.to))?;
        let subnet = self.plane.subnet(&self.plane.fabric.nics[*nic]).map(|subnet| subnet.name.as_str());
        self.tell_at(subnet.unwrap_or_default(), || what);
        let (next, by) = self.plane.behind(receiver).ok_or_else(|| {
            let name = &self.plane.fabric.nics[receiver].name;
            Death::new(name, Cause::Nobody, "no machine runs behind the NIC")
        })?;
        Ok(Step::Moved(next, Entered::Interface(by)))
    }

    fn tell(&mut self, at: usize, what: impl FnOnce() -> String) {
        let plane = self.plane;
        self.tell_at(&plane.hosts[at].name, what);
    }

    fn tell_at(&mut self, at: &str, what: impl FnOnce() -> String) {
        if self.is_told {
            self.hops.push(Hop { at: at.to_owned(), what: what() });
        }
    }
}
