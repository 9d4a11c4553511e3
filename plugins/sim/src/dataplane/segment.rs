use std::net::Ipv4Addr;

use super::host::{HostKernel, HostLink, PathHost};
use super::path::{DropCause, PacketDrop};
use super::plane::Plane;

impl Plane {
    /// Returns the machine and the interface on a segment that answer for an address.
    pub(super) fn on_segment(
        &self,
        from: &PathHost,
        segment: &str,
        address: Ipv4Addr,
    ) -> Result<(usize, usize), PacketDrop> {
        let hosts = self.hosts.iter().enumerate();
        let links = hosts
            .flat_map(|(at, host)| host.links.iter().enumerate().map(move |(index, link)| (at, host, index, link)));
        let mut plugged = links.filter(|(_, _, _, link)| matches!(link, HostLink::Segment(other) if other == segment));
        let found = plugged.find(|(_, host, index, _)| has(host, *index, address));
        found.map(|(at, _, index, _)| (at, index)).ok_or_else(|| {
            PacketDrop::new(
                &from.name,
                DropCause::Nobody,
                format!("no machine on segment {segment} answers for {address}"),
            )
        })
    }
}

/// True if the interface with this index has the address.
fn has(host: &PathHost, index: usize, address: Ipv4Addr) -> bool {
    match &host.kernel {
        HostKernel::Node { .. } => false,
        HostKernel::Machine { interfaces, .. } => {
            interfaces.get(&format!("eth{index}")).is_some_and(|own| own.contains(&address))
        }
    }
}
