use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::Deserialize;
use stargate_sdk::ActionError;

use crate::client::{Remote, RemoteCommand};

/// A managed route: through a gateway on a directly connected network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManagedRoute {
    /// Destination of the packets.
    pub(crate) prefix: Ipv4Net,
    /// Address of the gateway.
    pub(crate) via: Ipv4Addr,
    /// Network device of the gateway.
    pub(crate) device: String,
}

impl ManagedRoute {
    /// Next hop, as `ip route` prints it after the prefix: `via 10.0.0.1 dev eth0`.
    pub(crate) fn next_hop(&self) -> String {
        format!("via {} dev {}", self.via, self.device)
    }
}

/// A route of the kernel's main table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct KernelRoute {
    dst: String,
    gateway: Option<String>,
    dev: Option<String>,
    protocol: Option<String>,
    #[serde(default)]
    metric: u32,
}

impl KernelRoute {
    /// The route of `table` to exactly `prefix`; of several, the one with the lowest metric.
    pub(crate) fn find(table: &[Self], prefix: Ipv4Net) -> Option<&Self> {
        table.iter().filter(|route| parse_destination(&route.dst) == Some(prefix)).min_by_key(|route| route.metric)
    }

    /// True if the next hop equals that of `route`.
    pub(crate) fn has_next_hop_of(&self, route: &ManagedRoute) -> bool {
        self.gateway.as_deref().is_some_and(|gateway| gateway.parse() == Ok(route.via))
            && self.dev.as_deref() == Some(&route.device)
    }

    /// True for the network that a device is connected to. Replacing such a route would disconnect
    /// the host.
    pub(crate) fn is_connected_network(&self) -> bool {
        self.protocol.as_deref() == Some("kernel") && self.gateway.is_none()
    }

    /// The device, if a managed route can use it: one of a gateway, or one connected to a network.
    ///
    /// Devices of single pods are neither. There is one for each pod, and no gateway is connected
    /// to it.
    pub(crate) fn gateway_device(&self) -> Option<&str> {
        let network = || parse_destination(&self.dst).is_some_and(|prefix| prefix.prefix_len() < 32);
        self.dev.as_deref().filter(|_| self.gateway.is_some() || (self.is_connected_network() && network()))
    }

    /// Next hop, as `ip route` prints it after the prefix: `via 10.0.0.1 dev eth0`.
    pub(crate) fn next_hop(&self) -> String {
        let part = |word: &str, value: &Option<String>| value.as_ref().map(|value| format!("{word} {value}"));
        [part("via", &self.gateway), part("dev", &self.dev)].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

/// Reads the kernel's main routing table.
///
/// Routes of tailscaled are in table 52 and of other programs in others; they are not read.
pub(crate) async fn main_table(remote: &Remote<'_>) -> Result<Vec<KernelRoute>, ActionError> {
    remote.json(&RemoteCommand::read("ip").args(["-json", "route", "show", "table", "main"])).await
}

/// Looks up the device through which the host reaches its neighbour `gateway`.
///
/// # Errors
/// `Permanent` if the gateway is not in a network of the host.
pub(crate) async fn device_of_gateway(remote: &Remote<'_>, gateway: Ipv4Addr) -> Result<String, ActionError> {
    let command = RemoteCommand::read("ip").args(["-json", "route", "get", &gateway.to_string()]);
    let lookups: Vec<RouteLookup> = remote.json(&command).await?;
    neighbour_device(lookups, gateway).map_err(|e| remote.context(e))
}

/// Installs `route` in the kernel, replacing another one to the same prefix.
///
/// There is no moment without a route to the prefix.
pub(crate) async fn replace(remote: &Remote<'_>, route: &ManagedRoute) -> Result<(), ActionError> {
    let (prefix, via) = (route.prefix.to_string(), route.via.to_string());
    let words = ["route", "replace", &prefix, "via", &via, "dev", &route.device];
    remote.succeed(&RemoteCommand::change("ip").args(words)).await.map(drop)
}

/// Deletes `route` from the kernel.
pub(crate) async fn delete(remote: &Remote<'_>, route: &ManagedRoute) -> Result<(), ActionError> {
    let (prefix, via) = (route.prefix.to_string(), route.via.to_string());
    let words = ["route", "del", &prefix, "via", &via, "dev", &route.device];
    remote.succeed(&RemoteCommand::change("ip").args(words)).await.map(drop)
}

/// Answer of `ip -json route get`.
#[derive(Debug, Deserialize)]
struct RouteLookup {
    dev: String,
    gateway: Option<String>,
    table: Option<String>,
}

/// Device of a lookup's answer.
///
/// # Errors
/// `Permanent` if there is no answer, if another table than main gave it, or if it names a further
/// gateway.
fn neighbour_device(lookups: Vec<RouteLookup>, gateway: Ipv4Addr) -> Result<String, ActionError> {
    let lookup = lookups.into_iter().next();
    let lookup = lookup.ok_or_else(|| ActionError::permanent(format!("gateway {gateway} cannot be reached")))?;
    if let Some(table) = lookup.table.filter(|table| table != "main") {
        return Err(ActionError::permanent(format!(
            "gateway {gateway} is reached by table {table} through {}",
            lookup.dev
        ))
        .with_hint("a route accepted from the tailnet covers the host's own network; it must not be advertised"));
    }
    match lookup.gateway {
        Some(first) => Err(ActionError::permanent(format!(
            "gateway {gateway} is not in a network of the host: it is reached through {first}"
        ))),
        None => Ok(lookup.dev),
    }
}

/// Parses `default`, a prefix, or an address, which means its /32.
fn parse_destination(text: &str) -> Option<Ipv4Net> {
    match text {
        "default" => Some(Ipv4Net::default()),
        _ => text.parse().ok().or_else(|| text.parse().ok().map(|address: Ipv4Addr| address.into())),
    }
}

/// Checks what must hold for any output of `ip -json route`: it is read or refused, and a route
/// that is found is that of the prefix.
#[cfg(feature = "fuzzing")]
pub(crate) fn check_any_output(input: &[u8]) {
    let (prefix, via) = ("10.9.0.0/16".parse().expect("prefix"), Ipv4Addr::new(10, 0, 0, 1));
    if let Ok(table) = serde_json::from_slice::<Vec<KernelRoute>>(input) {
        for route in &table {
            let _ = (route.next_hop(), route.gateway_device(), route.is_connected_network());
        }
        let found = KernelRoute::find(&table, prefix);
        assert!(found.is_none_or(|found| parse_destination(&found.dst) == Some(prefix)));
    }
    if let Ok(lookups) = serde_json::from_slice::<Vec<RouteLookup>>(input)
        && let Err(error) = neighbour_device(lookups, via)
    {
        assert!(error.message.contains("10.0.0.1"), "{error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = r#"[
        {"dst":"default","gateway":"10.0.0.1","dev":"eth0","protocol":"static","flags":[]},
        {"dst":"10.0.0.0/24","dev":"eth0","protocol":"kernel","scope":"link","prefsrc":"10.0.0.4","flags":[]},
        {"dst":"10.9.0.0/16","gateway":"10.0.0.9","dev":"eth0","protocol":"dhcp","metric":100,"flags":[]},
        {"dst":"10.9.0.0/16","gateway":"10.0.0.1","dev":"eth0","flags":[]},
        {"dst":"168.63.129.16","gateway":"10.0.0.1","dev":"eth0","protocol":"dhcp","metric":100,"flags":[]}]"#;

    fn route(prefix: &str, via: &str) -> ManagedRoute {
        ManagedRoute {
            prefix: prefix.parse().expect("prefix"),
            via: via.parse().expect("address"),
            device: "eth0".into(),
        }
    }

    #[test]
    fn the_route_of_the_lowest_metric_is_found() {
        let table: Vec<KernelRoute> = serde_json::from_str(TABLE).expect("table");
        let of = |prefix: &str| KernelRoute::find(&table, prefix.parse().expect("prefix"));
        assert!(of("10.9.0.0/16").expect("there").has_next_hop_of(&route("10.9.0.0/16", "10.0.0.1")));
        assert!(!of("0.0.0.0/0").expect("there").has_next_hop_of(&route("0.0.0.0/0", "10.0.0.2")));
        assert!(of("10.0.0.0/24").expect("there").is_connected_network());
        assert_eq!(of("168.63.129.16/32").expect("there").next_hop(), "via 10.0.0.1 dev eth0");
        assert_eq!(of("10.8.0.0/16"), None);
    }

    #[test]
    fn devices_of_single_pods_are_ignored() {
        let table = r#"[
            {"dst":"10.244.64.9","dev":"lxc1","protocol":"kernel","scope":"link","flags":[]},
            {"dst":"10.0.0.0/24","dev":"eth0","protocol":"kernel","scope":"link","prefsrc":"10.0.0.4","flags":[]},
            {"dst":"10.9.0.0/16","gateway":"10.1.0.9","dev":"eth1","flags":[]}]"#;
        let table: Vec<KernelRoute> = serde_json::from_str(table).expect("table");
        let devices: Vec<_> = table.iter().filter_map(KernelRoute::gateway_device).collect();
        assert_eq!(devices, ["eth0", "eth1"]);
    }

    #[test]
    fn a_gateway_outside_the_hosts_networks_is_refused() {
        let get =
            |text: &str| neighbour_device(serde_json::from_str(text).expect("answer"), Ipv4Addr::new(10, 0, 0, 1));
        let dev = get(r#"[{"dst":"10.0.0.1","dev":"eth0","prefsrc":"10.0.0.4","flags":[],"uid":1000,"cache":[]}]"#);
        assert_eq!(dev.expect("neighbour"), "eth0");
        get(r#"[{"dst":"10.0.0.1","gateway":"10.7.0.1","dev":"eth0","flags":[]}]"#).expect_err("behind another");
        get(r#"[{"dst":"10.0.0.1","dev":"tailscale0","table":"52","prefsrc":"100.64.0.1","flags":[]}]"#)
            .expect_err("tailnet");
        get("[]").expect_err("unreachable");
    }
}
