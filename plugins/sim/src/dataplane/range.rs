use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::host::{Host, Kernel};
use super::path::{Cause, Death};
use super::plane::Plane;

impl Plane {
    /// Why a pod cannot be reached by its address, if its node does not have that address or the routes to its node are for others.
    pub(super) fn range_gap(&self, to: Ipv4Addr) -> Option<Death> {
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
        Some(Death::new(&host.name, Cause::PodRange, why))
    }

    /// The prefixes that subnets' tables and other machines' kernels send to a machine.
    fn routed_to(&self, host: &Host) -> BTreeSet<Ipv4Net> {
        let is_own = |hop: Option<Ipv4Addr>| hop.is_some_and(|hop| host.addresses().contains(&hop));
        let tables = self.fabric.subnets.values().flat_map(|subnet| &subnet.routes);
        let kernels = self.hosts.iter().flat_map(|other| match &other.kernel {
            Kernel::Machine { routes, .. } => routes.as_slice(),
            Kernel::Node { .. } => &[],
        });
        let by_cloud = tables.filter(|route| is_own(route.hop)).map(|route| route.prefix);
        let by_kernel = kernels.filter(|route| is_own(route.gateway)).map(|route| route.prefix);
        by_cloud.chain(by_kernel).collect()
    }
}

impl Host {
    /// Whether a machine can send from an address: it runs, and the address is its own or one of its pods'.
    pub(super) fn sends(&self, source: Ipv4Addr) -> Result<(), Death> {
        self.runs()?;
        if self.owns(source) { Ok(()) } else { self.has_pod(source) }
    }

    /// Whether it is on and has booted.
    pub(super) fn runs(&self) -> Result<(), Death> {
        let why = self.off.filter(|_| matches!(self.kernel, Kernel::Machine { .. }));
        why.map_or(Ok(()), |why| Err(Death::new(&self.name, Cause::MachineOff, why)))
    }

    fn has_pod(&self, address: Ipv4Addr) -> Result<(), Death> {
        match self.range {
            Some(range) if !self.pods.contains(&address) => {
                let why = format!("its pods have addresses of {range}, so none has {address}");
                Err(Death::new(&self.name, Cause::PodRange, why))
            }
            _ => Ok(()),
        }
    }
}
