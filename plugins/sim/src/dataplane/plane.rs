use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::host::{HostKernel, HostLink, PathHost};
use super::masquerade::PodMasquerade;
use super::path::{Endpoint, UnknownEndpoint};
use super::pods::place_pods;
use crate::World;
use crate::arm::{FabricNic, FabricSubnet, NetworkFabric, fabric};
use crate::kube::NetworkPolicies;
use crate::tailnet::{AccessFilter, Device, NodeId};

/// Configuration in force on every surface at one point in time.
#[derive(Debug, Clone)]
pub struct Plane {
    pub(super) fabric: NetworkFabric,
    pub(super) hosts: Vec<PathHost>,
    pub(super) devices: BTreeMap<NodeId, Device>,
    /// Index of the machine and of its interface, by the index of the NIC in the fabric.
    attached: BTreeMap<usize, (usize, usize)>,
    pods: Vec<Endpoint>,
    pub(super) policies: NetworkPolicies,
    pub(super) masquerade: PodMasquerade,
    /// Access rules of the tailnet.
    pub(super) access: AccessFilter,
}

impl Plane {
    /// Reads what is in force in the world now.
    pub fn of(world: &World) -> Self {
        let fabric = fabric(&world.arm);
        let machines = world.hosts.machines.values().map(|machine| PathHost::machine(machine, world, &fabric));
        let nodes = fabric.nics.iter().enumerate().filter_map(|(at, nic)| PathHost::node(at, nic));
        let mut hosts: Vec<PathHost> = machines.chain(nodes).collect();
        let devices = world.tailnet.devices.values().map(|device| (device.node_id.clone(), device.clone())).collect();
        let attached = attachments(&hosts);
        let pods = place_pods(world, &mut hosts);
        let policies = NetworkPolicies::of(&world.kube);
        let (masquerade, access) = (PodMasquerade::of(&world.kube), AccessFilter::of(&world.tailnet));
        Self { fabric, hosts, devices, attached, pods, policies, masquerade, access }
    }

    /// Returns the pods that run.
    pub fn pods(&self) -> &[Endpoint] {
        &self.pods
    }

    /// Returns the machines and nodes that have an address.
    pub fn machines(&self) -> Vec<Endpoint> {
        let endpoint = |host: &PathHost| {
            let (ip, name) = (*host.addresses().first()?, host.name.clone());
            Some(Endpoint { host: name.clone(), name, ip, site: host.site.clone() })
        };
        self.hosts.iter().filter_map(endpoint).collect()
    }

    /// Returns the index of the machine with this name.
    pub(super) fn host_index(&self, name: &str) -> Option<usize> {
        self.hosts.iter().position(|host| host.name == name)
    }

    /// Returns the subnet of a NIC.
    pub(super) fn subnet(&self, nic: &FabricNic) -> Option<&FabricSubnet> {
        self.fabric.subnets.get(&nic.subnet)
    }

    /// Returns the index of the NIC with an address in a virtual network.
    pub(super) fn nic_with(&self, network: &str, address: Ipv4Addr) -> Option<usize> {
        self.fabric.nics.iter().position(|nic| {
            nic.addresses.contains(&address) && self.subnet(nic).is_some_and(|subnet| subnet.network == network)
        })
    }

    /// Returns the machine and the interface behind a NIC.
    pub(super) fn behind(&self, nic: usize) -> Option<(usize, usize)> {
        self.attached.get(&nic).copied()
    }

    /// Returns the pod or machine with this name or address.
    pub(super) fn endpoint(&self, name_or_address: &str) -> Result<Endpoint, UnknownEndpoint> {
        let address: Option<Ipv4Addr> = name_or_address.parse().ok();
        let is = |endpoint: &Endpoint| endpoint.name == name_or_address || Some(endpoint.ip) == address;
        let by_pod = self.pods.iter().find(|pod| is(pod)).cloned();
        let by_machine = || self.machines().into_iter().find(is);
        let by_address = || {
            let host = self.hosts.iter().find(|host| host.addresses().iter().any(|own| Some(*own) == address))?;
            Some(Endpoint { name: host.name.clone(), host: host.name.clone(), ip: address?, site: host.site.clone() })
        };
        let found = by_pod.or_else(by_machine).or_else(by_address);
        found.ok_or_else(|| UnknownEndpoint(name_or_address.to_owned()))
    }
}

/// Returns the machine and interface of each NIC.
fn attachments(hosts: &[PathHost]) -> BTreeMap<usize, (usize, usize)> {
    let links =
        hosts.iter().enumerate().flat_map(|(host, known)| known.links.iter().enumerate().map(move |link| (host, link)));
    let azure = links.filter_map(|(host, (interface, link))| match link {
        HostLink::Azure(nic) => Some((*nic, (host, interface))),
        HostLink::Segment(_) => None,
    });
    azure.collect()
}

impl PathHost {
    /// Returns the addresses of its NICs.
    pub(super) fn addresses(&self) -> &[Ipv4Addr] {
        match &self.kernel {
            HostKernel::Node { addresses, .. } | HostKernel::Machine { addresses, .. } => addresses,
        }
    }
}
