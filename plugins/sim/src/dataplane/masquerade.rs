use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::Value;

use super::host::PathHost;
use crate::kube::Kube;

/// Source address translation by the agents of Cilium, as `cilium-config` sets it.
///
/// A change is in force immediately: the agents of the simulator read it like a restarted agent.
#[derive(Debug, Clone, Default)]
pub(super) struct PodMasquerade {
    /// Internal addresses of the nodes whose agent translates.
    nodes: BTreeSet<Ipv4Addr>,
    /// Prefix to which packets keep their source.
    exempt: Option<Ipv4Net>,
}

impl PodMasquerade {
    /// Reads the configuration of the agents, and the nodes on which they run.
    pub(super) fn of(kube: &Kube) -> Self {
        let data = kube.named("configmaps", "kube-system/cilium-config").map(|map| &map["data"]);
        let Some(data) = data.filter(|data| translates(data)) else { return Self::default() };
        let nodes =
            kube.all("nodes").filter(|node| kube.has_agent(node["metadata"]["name"].as_str().unwrap_or_default()));
        Self {
            nodes: nodes.flat_map(internal_addresses).collect(),
            exempt: data["ipv4-native-routing-cidr"].as_str().and_then(|text| text.parse().ok()),
        }
    }

    /// Returns the address that a machine gives to a packet of one of its pods; `None` if the
    /// packet keeps its source.
    pub(super) fn source_for(&self, host: &PathHost, to: Ipv4Addr) -> Option<Ipv4Addr> {
        let own = host.addresses().iter().find(|address| self.nodes.contains(address))?;
        (!self.exempt.is_some_and(|prefix| prefix.contains(&to))).then_some(*own)
    }
}

/// Returns `true` if packets of all pods are translated. The rules of iptables have the node's
/// allocation range for a source, in which no pod is if another plugin gives the addresses.
fn translates(data: &Value) -> bool {
    let on = |name: &str, absent: bool| match data[name].as_str() {
        None | Some("") => absent,
        Some(text) => text == "true",
    };
    let by_programs = on("enable-bpf-masquerade", false);
    let by_interface = data["egress-masquerade-interfaces"].as_str().is_some_and(|names| !names.is_empty());
    let knows_range = data["ipam"].as_str() != Some("delegated-plugin");
    on("enable-ipv4-masquerade", true) && (by_programs || by_interface || knows_range)
}

fn internal_addresses(node: &Value) -> impl Iterator<Item = Ipv4Addr> + '_ {
    let addresses = node["status"]["addresses"].as_array().into_iter().flatten();
    let internal = addresses.filter(|address| address["type"] == "InternalIP");
    internal.filter_map(|address| address["address"].as_str()?.parse().ok())
}
