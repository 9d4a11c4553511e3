//! Cluster addresses of services, and the pods behind them.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::json::{at, holds, list_at, namespace_of, object_at, set, str_at};
use super::resource::Resource;
use super::state::Kube;

/// Length of the prefix of cluster addresses: that of AKS by default.
const PREFIX_LENGTH: u8 = 16;
/// Number of addresses at the start of the prefix that the cluster keeps for itself.
const RESERVED: usize = 16;

/// Reason for which a service passes a connection to no pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BackendError {
    /// No service has this address.
    NoService,
    /// The service has no such port, or no pod that it may use is ready.
    NoBackend,
}

/// Gives a new service a free cluster address, unless it names one or is headless.
pub(crate) fn assign_address(kube: &Kube, resource: &Resource, object: &mut Value) {
    let is_without =
        str_at(object, &["spec", "type"]) == "ExternalName" || at(object, &["spec", "clusterIP"]).is_some();
    if resource.qualified() != "services" || is_without {
        return;
    }
    let own = kube.named("services", "default/kubernetes").map(|service| str_at(service, &["spec", "clusterIP"]));
    let Some(first) = own.and_then(|own| own.parse::<Ipv4Addr>().ok()) else { return };
    let Ok(prefix) = Ipv4Net::new(first, PREFIX_LENGTH) else { return };
    let is_taken = |address: &Ipv4Addr| kube.all("services").any(|held| cluster_address(held) == Some(*address));
    if let Some(free) = prefix.trunc().hosts().skip(RESERVED).find(|address| !is_taken(address)) {
        set(object, &["spec", "clusterIP"], json!(free));
        set(object, &["spec", "clusterIPs"], json!([free]));
    }
}

/// Returns the address and port of a pod behind a cluster address.
///
/// `node` is the node of the client: a service with `internalTrafficPolicy: Local` uses only pods
/// there. Otherwise the first ready pod is used; a real cluster chooses at random.
///
/// # Errors
///
/// The reason for which there is no pod.
pub(crate) fn backend(kube: &Kube, address: Ipv4Addr, port: u16, node: &str) -> Result<(Ipv4Addr, u16), BackendError> {
    let service = kube.all("services").find(|service| cluster_address(service) == Some(address));
    let service = service.ok_or(BackendError::NoService)?;
    let ports = list_at(service, &["spec", "ports"]).iter();
    let target = ports.filter(|each| each["port"] == json!(port)).find_map(|each| each["targetPort"].as_u64());
    let target = target.and_then(|target| u16::try_from(target).ok()).ok_or(BackendError::NoBackend)?;
    let is_local = str_at(service, &["spec", "internalTrafficPolicy"]) == "Local";
    let serves = |pod: &&Value| {
        namespace_of(pod) == namespace_of(service)
            && holds(pod, "Ready")
            && has_labels(pod, service)
            && (!is_local || str_at(pod, &["spec", "nodeName"]) == node)
    };
    let mut addresses = kube.all("pods").filter(serves).map(|pod| str_at(pod, &["status", "podIP"]).parse());
    addresses.find_map(Result::ok).map(|address| (address, target)).ok_or(BackendError::NoBackend)
}

/// Returns true if a pod has the labels of the selector of a service; a service without selector
/// has no pods of its own.
fn has_labels(pod: &Value, service: &Value) -> bool {
    let selector = object_at(service, &["spec", "selector"]);
    selector.is_some_and(|selector| {
        selector.iter().all(|(key, value)| at(pod, &["metadata", "labels", key]) == Some(value))
    })
}

fn cluster_address(service: &Value) -> Option<Ipv4Addr> {
    str_at(service, &["spec", "clusterIP"]).parse().ok()
}
