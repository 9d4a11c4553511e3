use super::{
    access, cilium,
    fabric::{self, TracedPacket},
    facts::{FirewallDrop, TraceEnd, TraceFacts, TracedHost},
    kernel::{self, Lookup},
    machines::{Machine, Role},
    pod,
    report::{Fault, PathFault, PathSurface, PathTrace, TraceVerdict, TracedHop},
    tunnel::{self, TunnelPass},
};
use crate::facts::SiteFabric;

/// Maximum number of machines on a way: more are a loop.
const MAX_HOPS: usize = 12;

/// Traces a request and its reply through the actual state of all surfaces.
///
/// The first packet of each direction is walked from machine to machine by the rules of each
/// surface. A surface that could not be read is named in `unread` and the packet goes on as it
/// should; the verdict is then never that it passes.
#[must_use]
pub fn trace(facts: &TraceFacts) -> PathTrace {
    let mut trace = PathTrace {
        from: facts.from.name.clone(),
        to: facts.to.name.clone(),
        verdict: TraceVerdict::Passes,
        request: Vec::new(),
        reply: Vec::new(),
        fault: None,
        unread: Vec::new(),
        deviations: cilium::deviations(facts),
    };
    let mut request = Walk::new(facts, &facts.from, &facts.to, false);
    let mut fault = request.run().err();
    let mut walks = vec![request];
    if fault.is_none() {
        let mut reply = Walk::new(facts, &facts.to, &facts.from, true);
        fault = reply.run().err();
        walks.push(reply);
    }
    trace.fault = match fault {
        Some(fault) => walks.last().map(|walk| walk.place(fault)),
        None => segment_fault(&walks),
    };
    for walk in walks {
        let hops = if walk.packet.is_reply { &mut trace.reply } else { &mut trace.request };
        *hops = walk.hops;
        trace.unread.extend(walk.unread);
    }
    trace.unread.extend(facts.policies.unread.iter().cloned());
    trace.unread.extend(facts.cilium.iter().flat_map(|cilium| &cilium.unread).cloned());
    trace.unread.sort();
    trace.unread.dedup();
    trace.verdict = match &trace.fault {
        Some(_) => TraceVerdict::Blocked,
        None if trace.unread.is_empty() => TraceVerdict::Passes,
        None => TraceVerdict::Unknown,
    };
    trace
}

/// Full packets of TCP pass the tunnel if one of its routers clamps the segments.
fn segment_fault(walks: &[Walk<'_>]) -> Option<PathFault> {
    let (walk, entry) = walks.iter().find_map(|walk| Some((walk, walk.tunnel_ends.first()?)))?;
    if walks.iter().flat_map(|walk| &walk.tunnel_ends).any(|end| end.clamped != Some(false)) {
        return None;
    }
    let (expected, found) = ("a clamp on one of the routers", "none: full packets do not fit into the tunnel");
    let object = format!("segment clamp of {}", entry.router);
    Some(walk.place_at(entry.hop, Fault::own(PathSurface::SegmentClamp, object, expected, found)))
}

/// Router at an end of the tunnel.
struct TunnelEnd {
    /// Number of the hop at which the packet enters the tunnel, from 1.
    hop: usize,
    router: String,
    /// True if it clamps segments; `None` if that was not read.
    clamped: Option<bool>,
}

/// Side from which a packet reaches a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entrance {
    /// The packet starts on the machine.
    Own,
    Network,
    Tunnel,
}

/// One direction of a path.
struct Walk<'f> {
    facts: &'f TraceFacts,
    from: &'f TraceEnd,
    to: &'f TraceEnd,
    packet: TracedPacket,
    hops: Vec<TracedHop>,
    unread: Vec<String>,
    tunnel_ends: Vec<TunnelEnd>,
}

impl<'f> Walk<'f> {
    fn new(facts: &'f TraceFacts, from: &'f TraceEnd, to: &'f TraceEnd, is_reply: bool) -> Self {
        let packet = TracedPacket { source: from.ip, destination: to.ip, of_machine: !from.pod || !to.pod, is_reply };
        Self { facts, from, to, packet, hops: Vec::new(), unread: Vec::new(), tunnel_ends: Vec::new() }
    }

    /// Adds the place to a fault: the last hop.
    fn place(&self, fault: Fault) -> PathFault {
        self.place_at(self.hops.len(), fault)
    }

    /// Adds the place to a fault: a hop, from 1.
    fn place_at(&self, hop: usize, fault: Fault) -> PathFault {
        let Fault { surface, object, expected, found, command } = fault;
        let at = hop.checked_sub(1).and_then(|index| self.hops.get(index)).map(|hop| hop.at.clone());
        PathFault {
            of_reply: self.packet.is_reply,
            hop,
            at: at.unwrap_or_default(),
            surface,
            object,
            expected,
            found,
            command,
        }
    }

    fn run(&mut self) -> Result<(), Fault> {
        let unknown = |end: &TraceEnd| {
            let found = "a machine that is neither a node of AKS nor registered";
            Fault::own(PathSurface::KernelRoute, end.machine.clone(), "a known machine", found)
                .with_command("register it, or name another end")
        };
        let mut at = self.facts.machine(&self.from.machine).ok_or_else(|| unknown(self.from))?;
        let end = self.facts.machine(&self.to.machine).ok_or_else(|| unknown(self.to))?;
        let mut entrance = Entrance::Own;
        self.hops.push(TracedHop { at: at.label(), text: String::new() });
        if let Some(protocol) = self.encapsulation(&at, &end) {
            self.tell(format!("encapsulates the packet ({protocol})"));
            self.unread.push(cilium::encapsulated(protocol));
            self.check_policies(true)?;
            return self.check_policies(false);
        }
        pod::check_address(self.facts, self.from, &at)?;
        pod::check_address(self.facts, self.to, &end)?;
        self.check_policies(true)?;
        self.check_source(&at, &end)?;
        for _ in 0..MAX_HOPS {
            if at.name == end.name {
                return self.deliver(&at, entrance);
            }
            (at, entrance) = self.forward(&at, &end, entrance)?;
            self.hops.push(TracedHop { at: at.label(), text: String::new() });
            if entrance == Entrance::Tunnel && !self.packet.is_reply {
                self.check_access()?;
            }
        }
        let found = format!("more than {MAX_HOPS} machines on the way");
        Err(Fault::own(PathSurface::KernelRoute, "routes", "a way without a loop", found))
    }

    /// Protocol in which Cilium encapsulates the packet, if both ends are pods of two machines.
    fn encapsulation(&self, at: &Machine<'f>, end: &Machine<'f>) -> Option<&'f str> {
        let between_nodes = self.from.pod && self.to.pod && at.name != end.name;
        self.facts.cilium.as_ref().filter(|_| between_nodes)?.encapsulation(at)
    }

    /// Checks that the machine of a pod keeps its source address. The addresses of replies and
    /// those of packets to nodes are kept always.
    fn check_source(&mut self, at: &Machine<'f>, end: &Machine<'f>) -> Result<(), Fault> {
        let is_concerned = self.from.pod && self.to.pod && at.name != end.name && !self.packet.is_reply;
        let Some(cilium) = self.facts.cilium.as_ref().filter(|_| is_concerned) else { return Ok(()) };
        let unread = cilium::check_source(cilium, at, self.packet.destination)?;
        self.unread.extend(unread);
        Ok(())
    }

    /// Completes the text of the last hop.
    fn tell(&mut self, text: impl Into<String>) {
        if let Some(hop) = self.hops.last_mut() {
            hop.text = text.into();
        }
    }

    /// Facts that were read on a machine. Nodes of AKS cannot be read, and do not count as unread:
    /// AKS configures them.
    fn host(&mut self, machine: &Machine<'f>) -> Option<&'f TracedHost> {
        if machine.role == Role::AksNode {
            return None;
        }
        let host = self.facts.host(machine);
        let reason = match host {
            Some(TracedHost { unread: None, .. }) => return host,
            Some(TracedHost { unread: Some(reason), .. }) => reason.as_str(),
            None => "it was not inspected",
        };
        self.unread.push(format!("{}: {reason}", machine.label()));
        None
    }

    /// Checks the delivery to the end on its own machine.
    fn deliver(&mut self, at: &Machine<'f>, entrance: Entrance) -> Result<(), Fault> {
        self.tell(format!("delivers to {}", self.to.name));
        self.check_policies(false)?;
        let Some(host) = self.host(at) else { return Ok(()) };
        if self.to.pod {
            self.check_kernel(at, host, entrance, false)?;
        }
        Ok(())
    }

    /// Checks that the access rules of the tailnet admit the request, at the router that receives
    /// it.
    fn check_access(&mut self) -> Result<(), Fault> {
        self.unread.extend(self.facts.access.iter().flat_map(|access| &access.unread).cloned());
        access::check(self.facts)
    }

    /// Checks that the network policies at an end admit the request. They let its reply pass.
    fn check_policies(&self, egress: bool) -> Result<(), Fault> {
        let mut denials = self.facts.policies.denials.iter();
        match denials.find(|denial| denial.egress == egress && !self.packet.is_reply) {
            Some(denial) => Err(pod::denied(self.facts, denial)),
            None => Ok(()),
        }
    }

    /// Passes the packet on to the next machine.
    fn forward(
        &mut self,
        at: &Machine<'f>,
        end: &Machine<'f>,
        entrance: Entrance,
    ) -> Result<(Machine<'f>, Entrance), Fault> {
        let into_tunnel = at.is_router() && !at.is_at_site_of(end);
        let host = self.host(at);
        if let Some(host) = host {
            self.check_tailscaled(at, host, entrance, into_tunnel)?;
            if entrance != Entrance::Own || self.from.pod {
                self.check_kernel(at, host, entrance, into_tunnel)?;
            }
        }
        if into_tunnel { self.enter_tunnel(at, end, host) } else { self.cross_network(at, end, host) }
    }

    /// Checks tailscaled on a router that the packet enters or leaves the tunnel at.
    fn check_tailscaled(
        &self,
        at: &Machine<'_>,
        host: &TracedHost,
        entrance: Entrance,
        into_tunnel: bool,
    ) -> Result<(), Fault> {
        let pass = match (entrance, into_tunnel) {
            _ if !at.is_router() => return Ok(()),
            (Entrance::Tunnel, false) => TunnelPass::Out,
            (Entrance::Network | Entrance::Tunnel, true) => TunnelPass::In,
            (Entrance::Own, true) => return tunnel::check_connection(at, host),
            (Entrance::Own | Entrance::Network, false) => return Ok(()),
        };
        tunnel::check_connection(at, host)?;
        if self.packet.is_reply { Ok(()) } else { tunnel::check_preferences(at, host, pass) }
    }

    /// Checks that a kernel forwards the packet: its setting, its path filter and its firewall.
    fn check_kernel(
        &self,
        at: &Machine<'_>,
        host: &TracedHost,
        entrance: Entrance,
        into_tunnel: bool,
    ) -> Result<(), Fault> {
        if !host.forwarding {
            let object = format!("kernel of {}", at.name);
            return Err(Fault::own(PathSurface::KernelForwarding, object, "net.ipv4.ip_forward = 1", "0"));
        }
        let from_tunnel = entrance == Entrance::Tunnel;
        if entrance != Entrance::Own {
            kernel::check_path_filter(at, host, self.packet.source, from_tunnel)?;
        }
        self.check_firewall(at, host, (from_tunnel, into_tunnel))
    }

    /// Checks that the firewall of a host accepts the packet, from one side of the host to another.
    fn check_firewall(
        &self,
        at: &Machine<'_>,
        host: &TracedHost,
        (from_tunnel, into_tunnel): (bool, bool),
    ) -> Result<(), Fault> {
        let TracedPacket { source, destination, is_reply, .. } = self.packet;
        let is_of_packet = |drop: &&FirewallDrop| {
            (drop.source, drop.destination, drop.reply) == (source, destination, is_reply)
                && (drop.from_tunnel, drop.to_tunnel) == (from_tunnel, into_tunnel)
        };
        let Some(drop) = host.dropping.iter().find(is_of_packet) else { return Ok(()) };
        let FirewallDrop { table, chain, .. } = drop;
        let object = format!("chain {chain} of table {table} on {}", at.name);
        let expected = format!("a rule that accepts {source} → {destination}");
        let rule = format!("ip saddr {source} ip daddr {destination} accept");
        let command = format!("`sudo nft insert rule {table} {chain} {rule}` on the host lets it pass");
        Err(Fault::own(PathSurface::Firewall, object, expected, "the packet is dropped").with_command(command))
    }

    fn enter_tunnel(
        &mut self,
        at: &Machine<'f>,
        end: &Machine<'f>,
        host: Option<&'f TracedHost>,
    ) -> Result<(Machine<'f>, Entrance), Fault> {
        let destination = self.packet.destination;
        let expected = self
            .facts
            .router_at(end)
            .ok_or_else(|| Fault::own(PathSurface::Device, end.label(), "a registered router at its site", "none"))?;
        if let Some(host) = host
            && !host.lookup(destination).is_tunnel()
        {
            return Err(tunnel::why_not_tunnelled(self.facts, at, host, &expected, destination));
        }
        let next = tunnel::receiver(self.facts, at, &expected, destination)?;
        self.tell(format!("sends into the tunnel, to {}", next.label()));
        for end in [*at, next] {
            let clamped = self.facts.host(&end).filter(|host| host.unread.is_none()).and_then(|host| host.clamped);
            self.tunnel_ends.push(TunnelEnd { hop: self.hops.len(), router: end.name.to_owned(), clamped });
        }
        Ok((next, Entrance::Tunnel))
    }

    fn cross_network(
        &mut self,
        at: &Machine<'f>,
        end: &Machine<'f>,
        host: Option<&'f TracedHost>,
    ) -> Result<(Machine<'f>, Entrance), Fault> {
        let next = self.expected_neighbour(at, end)?;
        if at.role == Role::AksNode && end.role == Role::AksNode {
            fabric::cross_overlay(self.facts, at, &next, &self.packet)?;
            self.tell(format!("sends over the network of AKS to {}", next.label()));
            return Ok((next, Entrance::Network));
        }
        let lookup = host.map(|host| host.lookup(self.packet.destination));
        match &lookup {
            Some(lookup @ Lookup::Tunnel(_)) => {
                return Err(tunnel::takes_own(self.facts, at, lookup, self.packet.destination));
            }
            Some(lookup @ Lookup::Dropped(_)) => {
                let dropped = host.and_then(|host| kernel::dropped(at, host, self.packet.destination));
                return Err(dropped.unwrap_or_else(|| self.no_route(at, &next, lookup)));
            }
            Some(Lookup::Device(_)) | None => {}
        }
        if at.site.is_some_and(|site| site.fabric == SiteFabric::L2) {
            return self.cross_segment(at, next, lookup.as_ref());
        }
        let route = fabric::cross(self.facts, at, &next, &self.packet)?;
        self.tell(format!("{route}, {}", next.label()));
        self.note_missing_interfaces([at, &next]);
        Ok((next, Entrance::Network))
    }

    /// Names interfaces that were not read, such as those in another resource group: it is not
    /// known whether they forward. AKS configures those of its nodes.
    fn note_missing_interfaces(&mut self, machines: [&Machine<'f>; 2]) {
        for machine in machines.into_iter().filter(|machine| machine.role != Role::AksNode) {
            if self.facts.subnet(machine).is_some_and(|subnet| subnet.interface(machine.ip).is_none()) {
                let address = machine.ip;
                self.unread.push(format!("network interface of {}: none in its subnet has {address}", machine.label()));
            }
        }
    }

    /// On an Ethernet segment, the kernel's route names the next machine.
    fn cross_segment(
        &mut self,
        at: &Machine<'f>,
        next: Machine<'f>,
        lookup: Option<&Lookup<'_>>,
    ) -> Result<(Machine<'f>, Entrance), Fault> {
        if let Some(lookup @ Lookup::Device(route)) = lookup {
            let hop = route.gateway.as_deref().and_then(|text| text.parse().ok()).unwrap_or(self.packet.destination);
            if hop != next.ip {
                return Err(self.no_route(at, &next, lookup));
            }
        }
        self.tell(format!("sends over the segment to {}", next.label()));
        Ok((next, Entrance::Network))
    }

    fn no_route(&self, at: &Machine<'_>, next: &Machine<'_>, lookup: &Lookup<'_>) -> Fault {
        let expected = format!("a route to {} via {}", self.packet.destination, next.ip);
        Fault::own(PathSurface::KernelRoute, format!("kernel routes of {}", at.name), expected, lookup.text())
    }

    /// The machine in the same network that a packet has to reach next.
    fn expected_neighbour(&self, at: &Machine<'f>, end: &Machine<'f>) -> Result<Machine<'f>, Fault> {
        if at.is_at_site_of(end) {
            return Ok(*end);
        }
        self.facts
            .router_at(at)
            .ok_or_else(|| Fault::own(PathSurface::Device, at.label(), "a registered router at its site", "none"))
    }
}
