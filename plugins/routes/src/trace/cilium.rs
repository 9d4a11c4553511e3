//! Cilium on the machines of the ends: the settings of its agents, and its `CiliumNode` objects.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    facts::TraceFacts,
    machines::Machine,
    report::{Fault, PathDeviation, PathSurface, SYNC},
};

/// Object of the agents' settings, as reports name it.
const SETTINGS: &str = "ConfigMap cilium-config";

/// State of Cilium, in the form of `cilium.configuration.inspect`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct TracedCilium {
    /// Settings of the agents; `None` if they were not read.
    #[serde(default)]
    pub settings: Option<CiliumSettings>,
    /// `CiliumNode`s of the machines of the ends, by name; `None` if they were not read.
    #[serde(default)]
    pub nodes: Option<Vec<TracedCiliumNode>>,
    /// Objects that were not read, each with the reason.
    #[serde(default)]
    pub unread: Vec<String>,
}

/// Settings of Cilium's agents that decide about packets between nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct CiliumSettings {
    /// Protocol in which packets to other nodes are encapsulated; `None` with native routing.
    #[serde(default)]
    pub encapsulation: Option<String>,
    /// Replacement of the source addresses of packets that leave a node.
    #[serde(default)]
    pub masquerade: CiliumMasquerade,
    /// Destinations to which source addresses are kept.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub native_routing_cidr: Option<Ipv4Net>,
}

/// Replacement of source addresses of pods by the address of their node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CiliumMasquerade {
    /// Source addresses are kept.
    #[default]
    Off,
    /// Source addresses of pods are replaced.
    On,
    /// The settings do not show whether source addresses of pods are replaced.
    Unknown,
}

/// `CiliumNode` of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct TracedCiliumNode {
    /// Name of the node.
    pub name: String,
    /// Prefixes that it lists for the pods of the node.
    #[serde(default)]
    pub pod_cidrs: Vec<String>,
    /// Internal addresses of the node.
    #[serde(default)]
    pub internal_ips: Vec<String>,
}

impl TracedCilium {
    fn node(&self, machine: &Machine<'_>) -> Option<&TracedCiliumNode> {
        self.nodes.iter().flatten().find(|node| node.name == machine.name)
    }

    /// Protocol in which the agent of a machine encapsulates packets of its pods to another node.
    pub(super) fn encapsulation(&self, at: &Machine<'_>) -> Option<&str> {
        self.node(at)?;
        self.settings.as_ref()?.encapsulation.as_deref()
    }
}

/// Words for a trace that ends where packets are encapsulated.
pub(super) fn encapsulated(protocol: &str) -> String {
    format!(
        "{SETTINGS}: packets between nodes are encapsulated ({protocol}) and pass neither pod routes nor route tables; \
         their path is not traced"
    )
}

/// Checks that the agent of a machine keeps the source address of a pod's packet. Returns a text
/// if the settings do not show it.
///
/// # Errors
/// The agent replaces the source address.
pub(super) fn check_source(
    cilium: &TracedCilium,
    at: &Machine<'_>,
    destination: Ipv4Addr,
) -> Result<Option<String>, Fault> {
    let Some(settings) = cilium.settings.as_ref().filter(|_| cilium.node(at).is_some()) else { return Ok(None) };
    let excluded = settings.native_routing_cidr;
    if excluded.is_some_and(|prefix| prefix.contains(&destination)) {
        return Ok(None);
    }
    let cidr = excluded.map_or_else(|| "none".to_owned(), |prefix| prefix.to_string());
    match settings.masquerade {
        CiliumMasquerade::Off => Ok(None),
        CiliumMasquerade::Unknown => Ok(Some(format!(
            "{SETTINGS}: enable-ipv4-masquerade=true, and it does not show which sources are replaced on {}",
            at.name
        ))),
        CiliumMasquerade::On => {
            let expected = format!("enable-ipv4-masquerade=false, or an ipv4-native-routing-cidr with {destination}");
            let found = format!(
                "enable-ipv4-masquerade=true, ipv4-native-routing-cidr {cidr}: {} gives its own address",
                at.name
            );
            let command = "`kubectl --namespace kube-system edit configmap cilium-config` corrects it, and \
                           `kubectl --namespace kube-system rollout restart daemonset cilium` puts it in force";
            Err(Fault::own(PathSurface::Cilium, SETTINGS, expected, found).with_command(command))
        }
    }
}

/// Differences of the `CiliumNode`s of the ends from the machines. They drop no packets with native
/// routing: Cilium's own tools and direct routes between nodes go by them.
pub(super) fn deviations(facts: &TraceFacts) -> Vec<PathDeviation> {
    let Some(cilium) = &facts.cilium else { return Vec::new() };
    let mut names = vec![facts.from.machine.as_str(), facts.to.machine.as_str()];
    names.sort_unstable();
    names.dedup();
    let machines = names.into_iter().filter_map(|name| facts.machine(name));
    machines
        .filter_map(|machine| Some((machine, cilium.node(&machine)?)))
        .flat_map(|pair| node_deviations(facts, pair))
        .collect()
}

fn node_deviations(
    facts: &TraceFacts,
    (machine, node): (Machine<'_>, &TracedCiliumNode),
) -> impl Iterator<Item = PathDeviation> + use<> {
    let object = format!("CiliumNode {}", node.name);
    let list = |texts: &[String]| if texts.is_empty() { "none".to_owned() } else { texts.join(", ") };
    let prefixes = facts.pod_cidr(&machine).filter(|prefix| node.pod_cidrs != [prefix.to_string()]);
    let prefixes = prefixes.map(|prefix| PathDeviation {
        object: format!("pod CIDRs of {object}"),
        expected: prefix.to_string(),
        found: list(&node.pod_cidrs),
        command: format!("`{SYNC}` repairs it"),
    });
    let address = machine.ip.to_string();
    let addresses = (!node.internal_ips.contains(&address)).then(|| PathDeviation {
        object: format!("internal address of {object}"),
        expected: address,
        found: list(&node.internal_ips),
        command: "a restart of Cilium's agent on the node writes it again".to_owned(),
    });
    prefixes.into_iter().chain(addresses)
}
