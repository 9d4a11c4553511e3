use std::net::Ipv4Addr;

use super::host::{Host, Kernel, Link};
use super::path::{Cause, Death};
use super::plane::Plane;

impl Plane {
    /// The machine and the interface on a segment that answer for an address.
    pub(super) fn on_segment(&self, from: &Host, segment: &str, address: Ipv4Addr) -> Result<(usize, usize), Death> {
        let hosts = self.hosts.iter().enumerate();
        let links = hosts
            .flat_map(|(at, host)| host.links.iter().enumerate().map(move |(index, link)| (at, host, index, link)));
        let mut plugged = links.filter(|(_, _, _, link)| matches!(link, Link::Segment(other) if other == segment));
        let found = plugged.find(|(_, host, index, _)| has(host, *index, address));
        found.map(|(at, _, index, _)| (at, index)).ok_or_else(|| {
            Death::new(&from.name, Cause::Nobody, format!("nobody on segment {segment} answers for {address}"))
        })
    }
}

fn has(host: &Host, index: usize, address: Ipv4Addr) -> bool {
    match &host.kernel {
        Kernel::Node { .. } => false,
        Kernel::Machine { interfaces, .. } => {
            interfaces.get(&format!("eth{index}")).is_some_and(|own| own.contains(&address))
        }
    }
}
