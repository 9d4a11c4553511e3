use std::net::Ipv4Addr;

use super::host::{HostKernel, PathHost};
use super::path::Endpoint;
use super::unmanaged_pod::UnmanagedPod;
use crate::World;
use crate::kube::{RunningPod, running_pods};

/// The namespace whose pods are called by their name alone.
const DEFAULT_NAMESPACE: &str = "default";

/// Returns the display name of a pod: `namespace/name`, or its name alone in the namespace
/// `default`.
pub(crate) fn pod_name(pod: &RunningPod) -> String {
    match pod.namespace.as_str() {
        DEFAULT_NAMESPACE => pod.name.clone(),
        namespace => format!("{namespace}/{}", pod.name),
    }
}

/// Assigns every running pod to its machine: those of the cluster and those listed in the world.
pub(super) fn place_pods(world: &World, hosts: &mut [PathHost]) -> Vec<Endpoint> {
    let cluster = running_pods(&world.kube, None, "").unwrap_or_default();
    let running = cluster.iter().map(|pod| place(hosts, pod)).collect::<Vec<_>>();
    running.into_iter().chain(world.pods.iter().map(|pod| put(hosts, pod))).collect()
}

/// Assigns a pod of the cluster.
fn place(hosts: &mut [PathHost], pod: &RunningPod) -> Endpoint {
    let at = host_of(hosts, pod);
    if let Some(host) = at.map(|at| &mut hosts[at]).filter(|_| !pod.on_host) {
        host.range = pod.range;
        // A pod outside the range of its machine is absent there, although the cluster reports it.
        if pod.range.is_none_or(|range| range.contains(&pod.ip)) {
            host.pods.insert(pod.ip);
        }
    }
    endpoint(at.map(|at| &hosts[at]), &pod.node, pod_name(pod), pod.ip)
}

/// Assigns a pod that the world lists.
fn put(hosts: &mut [PathHost], pod: &UnmanagedPod) -> Endpoint {
    let at = hosts.iter().position(|host| host.name == pod.node);
    if let Some(at) = at {
        hosts[at].pods.insert(pod.ip);
    }
    endpoint(at.map(|at| &hosts[at]), &pod.node, pod.name.clone(), pod.ip)
}

/// Returns the endpoint of a pod. Without a machine, nothing reaches it.
fn endpoint(host: Option<&PathHost>, node: &str, name: String, ip: Ipv4Addr) -> Endpoint {
    let (host, site) =
        host.map_or_else(|| (node.to_owned(), String::new()), |host| (host.name.clone(), host.site.clone()));
    Endpoint { name, host, ip, site }
}

/// Returns the machine with the node's host name, or else the one with the node's address, nodes of
/// AKS first.
fn host_of(hosts: &[PathHost], pod: &RunningPod) -> Option<usize> {
    let is_machine = |host: &PathHost| matches!(host.kernel, HostKernel::Machine { .. });
    let has_address = |host: &PathHost| pod.node_address.is_some_and(|address| host.addresses().contains(&address));
    let named = hosts.iter().position(|host| is_machine(host) && host.names.contains(&pod.node));
    let of_aks = || hosts.iter().position(|host| !is_machine(host) && has_address(host));
    named.or_else(of_aks).or_else(|| hosts.iter().position(has_address))
}
