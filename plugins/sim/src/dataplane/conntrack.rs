use std::net::Ipv4Addr;

use super::path::{DropCause, PacketDrop};
use super::plane::Plane;
use crate::arm::{Direction, GroupRefusal, IpProtocol, PacketFlow, Service};

/// Connection that the groups of a NIC have admitted: its packets pass there in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TrackedFlow {
    nic: usize,
    source: Ipv4Addr,
    to: Ipv4Addr,
}

/// Connection tracking of the security groups for a request and its reply.
#[derive(Debug)]
pub(super) struct Conntrack {
    service: Service,
    admitted: Vec<TrackedFlow>,
}

impl Conntrack {
    pub(super) fn new(service: Service) -> Self {
        Self { service, admitted: Vec::new() }
    }

    /// Returns the transport protocol and the destination port of the request, unless it has none.
    pub(super) fn port(&self) -> Option<(&'static str, u16)> {
        match self.service.protocol {
            IpProtocol::Tcp => Some(("tcp", self.service.port)),
            IpProtocol::Udp => Some(("udp", self.service.port)),
            IpProtocol::Icmp => None,
        }
    }

    /// Checks a packet against the groups of the NIC that it leaves and of the NIC that it reaches,
    /// each with its subnet's.
    pub(super) fn pass(
        &mut self,
        plane: &Plane,
        [sender, receiver]: [usize; 2],
        (source, to): (Ipv4Addr, Ipv4Addr),
    ) -> Result<(), PacketDrop> {
        self.at(plane, sender, Direction::Outbound, (source, to))?;
        self.at(plane, receiver, Direction::Inbound, (source, to))
    }

    fn at(
        &mut self,
        plane: &Plane,
        nic: usize,
        direction: Direction,
        (source, to): (Ipv4Addr, Ipv4Addr),
    ) -> Result<(), PacketDrop> {
        if self.admitted.contains(&TrackedFlow { nic, source: to, to: source }) {
            return Ok(());
        }
        let flow = PacketFlow { source, to, service: self.service };
        if let Some(refusal) = plane.fabric.refusal(&plane.fabric.nics[nic], direction, &flow) {
            return Err(dropped(&refusal, &flow));
        }
        self.admitted.push(TrackedFlow { nic, source, to });
        Ok(())
    }
}

fn dropped(refusal: &GroupRefusal<'_>, flow: &PacketFlow) -> PacketDrop {
    let GroupRefusal { at, group, rule } = refusal;
    let why = format!("rule {rule} of security group {group} drops packet of {} for {}", flow.source, flow.to);
    PacketDrop::new(at, DropCause::SecurityGroup, why)
}
