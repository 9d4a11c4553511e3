use std::net::Ipv4Addr;

use super::path::{Cause, Death};
use super::plane::Plane;
use crate::arm::{Direction, Flow, Refusal, Service};

/// A connection that the security groups of a NIC have let pass: what belongs to it passes there in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Admitted {
    nic: usize,
    source: Ipv4Addr,
    to: Ipv4Addr,
}

/// What the security groups know of a request and of the reply to it.
#[derive(Debug)]
pub(super) struct Guards {
    service: Service,
    admitted: Vec<Admitted>,
}

impl Guards {
    pub(super) fn new(service: Service) -> Self {
        Self { service, admitted: Vec::new() }
    }

    /// Lets a packet pass the groups of the NIC that it leaves and of the one that it comes to, each with its subnet's, or not.
    pub(super) fn pass(
        &mut self,
        plane: &Plane,
        [sender, receiver]: [usize; 2],
        (source, to): (Ipv4Addr, Ipv4Addr),
    ) -> Result<(), Death> {
        self.at(plane, sender, Direction::Outbound, (source, to))?;
        self.at(plane, receiver, Direction::Inbound, (source, to))
    }

    fn at(
        &mut self,
        plane: &Plane,
        nic: usize,
        direction: Direction,
        (source, to): (Ipv4Addr, Ipv4Addr),
    ) -> Result<(), Death> {
        if self.admitted.contains(&Admitted { nic, source: to, to: source }) {
            return Ok(());
        }
        let flow = Flow { source, to, service: self.service };
        if let Some(refusal) = plane.fabric.refusal(&plane.fabric.nics[nic], direction, &flow) {
            return Err(dropped(&refusal, &flow));
        }
        self.admitted.push(Admitted { nic, source, to });
        Ok(())
    }
}

fn dropped(refusal: &Refusal<'_>, flow: &Flow) -> Death {
    let Refusal { at, group, rule } = refusal;
    let why = format!("rule {rule} of security group {group} drops packet of {} for {}", flow.source, flow.to);
    Death::new(at, Cause::SecurityGroup, why)
}
