use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::host::{HostKernel, PathHost};
use super::path::{DropCause, PacketDrop};
use super::plane::Plane;

impl Plane {
    /// Returns the reason why a pod is unreachable by its address: its node does not have the
    /// address, or the routes to the node are for other addresses.
    pub(super) fn range_gap(&self, to: Ipv4Addr) -> Option<PacketDrop> {
        let pod = self.pods().iter().find(|pod| pod.ip == to)?;
        let host = &self.hosts[self.host_index(&pod.host)?];
        let range = host.range.filter(|_| !host.owns(to))?;
        if let Err(death) = host.has_pod(to) {
            return Some(death);
        }
        let routed = self.routed_to(host);
        if routed.is_empty() || routed.iter().any(|prefix| prefix.contains(&to)) {
            return None;
        }
        let prefixes: Vec<String> = routed.iter().map(ToString::to_string).collect();
        let why = format!("its pods have addresses of {range}, and what is routed to it is {}", prefixes.join(", "));
        Some(PacketDrop::new(&host.name, DropCause::PodRange, why))
    }

    /// Returns the prefixes that route tables and kernels of other machines send to a machine.
    fn routed_to(&self, host: &PathHost) -> BTreeSet<Ipv4Net> {
        let is_own = |hop: Option<Ipv4Addr>| hop.is_some_and(|hop| host.addresses().contains(&hop));
        let tables = self.fabric.subnets.values().flat_map(|subnet| &subnet.routes);
        let kernels = self.hosts.iter().flat_map(|other| match &other.kernel {
            HostKernel::Machine { routes, .. } => routes.as_slice(),
            HostKernel::Node { .. } => &[],
        });
        let by_cloud = tables.filter(|route| is_own(route.hop)).map(|route| route.prefix);
        let by_kernel = kernels.filter(|route| is_own(route.gateway)).map(|route| route.prefix);
        by_cloud.chain(by_kernel).collect()
    }
}

impl PathHost {
    /// Checks that a machine can send from an address: it runs, and the address is its own or one
    /// of its pods'.
    pub(super) fn sends(&self, source: Ipv4Addr) -> Result<(), PacketDrop> {
        self.runs()?;
        if self.owns(source) { Ok(()) } else { self.has_pod(source) }
    }

    /// Checks that the machine is on and has booted.
    pub(super) fn runs(&self) -> Result<(), PacketDrop> {
        let why = self.off.filter(|_| matches!(self.kernel, HostKernel::Machine { .. }));
        why.map_or(Ok(()), |why| Err(PacketDrop::new(&self.name, DropCause::MachineOff, why)))
    }

    /// Checks that a node with a known pod CIDR has a pod with this address.
    fn has_pod(&self, address: Ipv4Addr) -> Result<(), PacketDrop> {
        match self.range {
            Some(range) if !self.pods.contains(&address) => {
                let why = format!("its pods have addresses of {range}, so none has {address}");
                Err(PacketDrop::new(&self.name, DropCause::PodRange, why))
            }
            _ => Ok(()),
        }
    }
}
