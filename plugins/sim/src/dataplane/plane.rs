use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::host::{Host, Kernel, Link};
use super::path::{Endpoint, Path, UnknownEndpoint};
use super::place::place_pods;
use super::walk::Walk;
use crate::World;
use crate::arm::{Fabric, FabricNic, FabricSubnet, Service, fabric};
use crate::tailnet::{Device, NodeId};

/// What is in force on every surface at one moment.
#[derive(Debug, Clone)]
pub struct Plane {
    pub(super) fabric: Fabric,
    pub(super) hosts: Vec<Host>,
    pub(super) devices: BTreeMap<NodeId, Device>,
    /// The machine's and the interface's place, by the NIC's place in the fabric.
    attached: BTreeMap<usize, (usize, usize)>,
    pods: Vec<Endpoint>,
}

/// What becomes of a request by HTTP from `from` to `to` and of its reply: pods or machines, by name or address.
///
/// # Errors
/// One of them does not exist.
pub fn reach(world: &World, from: &str, to: &str) -> Result<Path, UnknownEndpoint> {
    Plane::of(world).path(from, to, Service::HTTP)
}

impl Plane {
    /// Takes what is in force in the world now.
    pub fn of(world: &World) -> Self {
        let fabric = fabric(&world.arm);
        let machines = world.hosts.machines.values().map(|machine| Host::machine(machine, world, &fabric));
        let nodes = fabric.nics.iter().enumerate().filter_map(|(at, nic)| Host::node(at, nic));
        let mut hosts: Vec<Host> = machines.chain(nodes).collect();
        let devices = world.tailnet.devices.values().map(|device| (device.node_id.clone(), device.clone())).collect();
        let attached = attachments(&hosts);
        let pods = place_pods(world, &mut hosts);
        Self { fabric, hosts, devices, attached, pods }
    }

    /// What becomes of a request and of its reply.
    ///
    /// # Errors
    /// One of the two does not exist.
    pub fn path(&self, from: &str, to: &str, service: Service) -> Result<Path, UnknownEndpoint> {
        Ok(self.walk(&self.endpoint(from)?, &self.endpoint(to)?, service, true))
    }

    /// Whom the one that is asked sees, if the request arrives and its reply comes back.
    ///
    /// # Errors
    /// One of the two does not exist.
    pub(crate) fn request(&self, from: &str, to: &str, service: Service) -> Result<Option<Ipv4Addr>, UnknownEndpoint> {
        let (path, seen) = self.trip(&self.endpoint(from)?, &self.endpoint(to)?, service, false);
        Ok(path.ok.then_some(seen))
    }

    /// The pods.
    pub fn pods(&self) -> &[Endpoint] {
        &self.pods
    }

    /// The machines and nodes that have an address.
    pub fn machines(&self) -> Vec<Endpoint> {
        let endpoint = |host: &Host| {
            let (ip, name) = (*host.addresses().first()?, host.name.clone());
            Some(Endpoint { host: name.clone(), name, ip, site: host.site.clone() })
        };
        self.hosts.iter().filter_map(endpoint).collect()
    }

    pub(super) fn walk(&self, from: &Endpoint, to: &Endpoint, service: Service, told: bool) -> Path {
        self.trip(from, to, service, told).0
    }

    /// The way there and back, and the source that the request arrived with.
    fn trip(&self, from: &Endpoint, to: &Endpoint, service: Service, told: bool) -> (Path, Ipv4Addr) {
        let mut walk = Walk::new(self, service, told);
        let (mut request, seen, way) = walk.trip(from, from.ip, to.ip, false);
        let mut reply = None;
        if request.died.is_none() {
            let (mut answer, _, back) = walk.trip(to, to.ip, seen, true);
            if answer.died.is_none() {
                way.fill(&back, &mut request);
                back.fill(&way, &mut answer);
            }
            reply = Some(answer).filter(|_| request.died.is_none());
        }
        let ok = reply.as_ref().is_some_and(|reply| reply.died.is_none());
        let path = Path { from: from.clone(), to: to.clone(), ok, source_kept: seen == from.ip, request, reply };
        (path, seen)
    }

    pub(super) fn host_index(&self, name: &str) -> Option<usize> {
        self.hosts.iter().position(|host| host.name == name)
    }

    pub(super) fn subnet(&self, nic: &FabricNic) -> Option<&FabricSubnet> {
        self.fabric.subnets.get(&nic.subnet)
    }

    /// The NIC of a virtual network that has an address.
    pub(super) fn nic_with(&self, network: &str, address: Ipv4Addr) -> Option<usize> {
        self.fabric.nics.iter().position(|nic| {
            nic.addresses.contains(&address) && self.subnet(nic).is_some_and(|subnet| subnet.network == network)
        })
    }

    /// The machine and the interface behind a NIC.
    pub(super) fn behind(&self, nic: usize) -> Option<(usize, usize)> {
        self.attached.get(&nic).copied()
    }

    fn endpoint(&self, wanted: &str) -> Result<Endpoint, UnknownEndpoint> {
        let address: Option<Ipv4Addr> = wanted.parse().ok();
        let is = |endpoint: &Endpoint| endpoint.name == wanted || Some(endpoint.ip) == address;
        let by_pod = self.pods.iter().find(|pod| is(pod)).cloned();
        let by_machine = || self.machines().into_iter().find(is);
        let by_address = || {
            let host = self.hosts.iter().find(|host| host.addresses().iter().any(|own| Some(*own) == address))?;
            Some(Endpoint { name: host.name.clone(), host: host.name.clone(), ip: address?, site: host.site.clone() })
        };
        let found = by_pod.or_else(by_machine).or_else(by_address);
        found.ok_or_else(|| UnknownEndpoint(wanted.to_owned()))
    }
}

fn attachments(hosts: &[Host]) -> BTreeMap<usize, (usize, usize)> {
    let links =
        hosts.iter().enumerate().flat_map(|(host, known)| known.links.iter().enumerate().map(move |link| (host, link)));
    let azure = links.filter_map(|(host, (interface, link))| match link {
        Link::Azure(nic) => Some((*nic, (host, interface))),
        Link::Segment(_) => None,
    });
    azure.collect()
}

impl Host {
    /// The addresses of its NICs.
    pub(super) fn addresses(&self) -> &[Ipv4Addr] {
        match &self.kernel {
            Kernel::Node { addresses, .. } | Kernel::Machine { addresses, .. } => addresses,
        }
    }
}
