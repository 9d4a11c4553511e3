use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::Deserialize;
use stargate_sdk::ActionError;

use crate::{command::RemoteCommand, remote::Remote};

/// A route of ours: through a gateway on a directly connected network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) prefix: Ipv4Net,
    pub(crate) via: Ipv4Addr,
    pub(crate) device: String,
}

impl Route {
    /// As `ip route` shows it, behind the prefix.
    pub(crate) fn way(&self) -> String {
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
    /// Whether the kernel takes this route for `prefix` (of two, the one with the lower metric).
    pub(crate) fn of(table: &[Self], prefix: Ipv4Net) -> Option<&Self> {
        table.iter().filter(|route| parse_destination(&route.dst) == Some(prefix)).min_by_key(|route| route.metric)
    }

    /// Whether it leads where `route` does.
    pub(crate) fn is(&self, route: &Route) -> bool {
        self.gateway.as_deref().is_some_and(|gateway| gateway.parse() == Ok(route.via))
            && self.dev.as_deref() == Some(&route.device)
    }

    /// Whether it is the network that a device is in: replacing that would cut the host off.
    pub(crate) fn is_connected_network(&self) -> bool {
        self.protocol.as_deref() == Some("kernel") && self.gateway.is_none()
    }

    /// The device, where a route of ours may go through it: one with a gateway, or with a network of neighbours.
    ///
    /// Pods' devices have neither: they are as many as the pods, and nothing is behind them.
    pub(crate) fn device_of_neighbours(&self) -> Option<&str> {
        let network = || parse_destination(&self.dst).is_some_and(|prefix| prefix.prefix_len() < 32);
        self.dev.as_deref().filter(|_| self.gateway.is_some() || (self.is_connected_network() && network()))
    }

    /// As `ip route` shows it, behind the prefix.
    pub(crate) fn way(&self) -> String {
        let part = |word: &str, value: &Option<String>| value.as_ref().map(|value| format!("{word} {value}"));
        [part("via", &self.gateway), part("dev", &self.dev)].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

/// The kernel's main table.
pub(crate) async fn main_table(remote: &Remote<'_>) -> Result<Vec<KernelRoute>, ActionError> {
    remote.json(&RemoteCommand::read("ip").args(["-json", "route", "show", "table", "main"])).await
}

/// The device through which the host reaches its neighbour `gateway`.
pub(crate) async fn device_towards(remote: &Remote<'_>, gateway: Ipv4Addr) -> Result<String, ActionError> {
    let command = RemoteCommand::read("ip").args(["-json", "route", "get", &gateway.to_string()]);
    let hops: Vec<Hop> = remote.json(&command).await?;
    neighbour(hops, gateway).map_err(|e| remote.context(e))
}

/// Puts `route` in force now, in place of another one to the same prefix.
pub(crate) async fn replace(remote: &Remote<'_>, route: &Route) -> Result<(), ActionError> {
    let (prefix, via) = (route.prefix.to_string(), route.via.to_string());
    let words = ["route", "replace", &prefix, "via", &via, "dev", &route.device];
    remote.succeed(&RemoteCommand::change("ip").args(words)).await.map(drop)
}

/// Takes `route` out of force.
pub(crate) async fn delete(remote: &Remote<'_>, route: &Route) -> Result<(), ActionError> {
    let (prefix, via) = (route.prefix.to_string(), route.via.to_string());
    let words = ["route", "del", &prefix, "via", &via, "dev", &route.device];
    remote.succeed(&RemoteCommand::change("ip").args(words)).await.map(drop)
}

#[derive(Debug, Deserialize)]
struct Hop {
    dev: String,
    gateway: Option<String>,
    table: Option<String>,
}

fn neighbour(hops: Vec<Hop>, gateway: Ipv4Addr) -> Result<String, ActionError> {
    let hop = hops.into_iter().next();
    let hop = hop.ok_or_else(|| ActionError::permanent(format!("gateway {gateway} cannot be reached")))?;
    if let Some(table) = hop.table.filter(|table| table != "main") {
        return Err(ActionError::permanent(format!(
            "gateway {gateway} is reached by table {table} through {}",
            hop.dev
        ))
        .with_hint("a route accepted from the tailnet covers the host's own network; it must not be advertised"));
    }
    match hop.gateway {
        Some(first) => Err(ActionError::permanent(format!("gateway {gateway} is no neighbour: it is behind {first}"))),
        None => Ok(hop.dev),
    }
}

/// `default`, a prefix, or an address, which stands for its /32.
fn parse_destination(text: &str) -> Option<Ipv4Net> {
    match text {
        "default" => Some(Ipv4Net::default()),
        _ => text.parse().ok().or_else(|| text.parse().ok().map(|address: Ipv4Addr| address.into())),
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

    fn route(prefix: &str, via: &str) -> Route {
        Route { prefix: prefix.parse().expect("prefix"), via: via.parse().expect("address"), device: "eth0".into() }
    }

    #[test]
    fn the_route_in_force_is_the_one_of_the_lowest_metric() {
        let table: Vec<KernelRoute> = serde_json::from_str(TABLE).expect("table");
        let of = |prefix: &str| KernelRoute::of(&table, prefix.parse().expect("prefix"));
        assert!(of("10.9.0.0/16").expect("there").is(&route("10.9.0.0/16", "10.0.0.1")));
        assert!(!of("0.0.0.0/0").expect("there").is(&route("0.0.0.0/0", "10.0.0.2")));
        assert!(of("10.0.0.0/24").expect("there").is_connected_network());
        assert_eq!(of("168.63.129.16/32").expect("there").way(), "via 10.0.0.1 dev eth0");
        assert_eq!(of("10.8.0.0/16"), None);
    }

    #[test]
    fn devices_of_single_pods_are_not_looked_at() {
        let table = r#"[
            {"dst":"10.244.64.9","dev":"lxc1","protocol":"kernel","scope":"link","flags":[]},
            {"dst":"10.0.0.0/24","dev":"eth0","protocol":"kernel","scope":"link","prefsrc":"10.0.0.4","flags":[]},
            {"dst":"10.9.0.0/16","gateway":"10.1.0.9","dev":"eth1","flags":[]}]"#;
        let table: Vec<KernelRoute> = serde_json::from_str(table).expect("table");
        let devices: Vec<_> = table.iter().filter_map(KernelRoute::device_of_neighbours).collect();
        assert_eq!(devices, ["eth0", "eth1"]);
    }

    #[test]
    fn a_gateway_is_a_neighbour_or_refused() {
        let get = |text: &str| neighbour(serde_json::from_str(text).expect("answer"), Ipv4Addr::new(10, 0, 0, 1));
        let dev = get(r#"[{"dst":"10.0.0.1","dev":"eth0","prefsrc":"10.0.0.4","flags":[],"uid":1000,"cache":[]}]"#);
        assert_eq!(dev.expect("neighbour"), "eth0");
        get(r#"[{"dst":"10.0.0.1","gateway":"10.7.0.1","dev":"eth0","flags":[]}]"#).expect_err("behind another");
        get(r#"[{"dst":"10.0.0.1","dev":"tailscale0","table":"52","prefsrc":"100.64.0.1","flags":[]}]"#)
            .expect_err("tailnet");
        get("[]").expect_err("unreachable");
    }
}
