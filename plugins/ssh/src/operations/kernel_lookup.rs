use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::Deserialize;
use stargate_sdk::ActionError;

use crate::client::{Remote, RemoteCommand};

/// Name of the main table, which `ip` leaves out.
const MAIN: &str = "main";
/// Types of routes that drop packets (ip-route(8)).
const DROPPING: [&str; 3] = ["blackhole", "unreachable", "prohibit"];

/// Routes of a kernel, with the tables in the order in which it looks packets up.
#[derive(Debug, Clone, Default)]
pub(crate) struct KernelTables {
    /// Names of the tables, the local one left out.
    pub(crate) order: Vec<String>,
    /// Routes of all tables.
    pub(crate) routes: Vec<TableRoute>,
}

/// Route as `ip -json route` prints it. The table is missing for the main one.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct TableRoute {
    /// Type, if it is not a unicast route.
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    /// Destination: a prefix, an address, or `default`.
    #[serde(rename = "dst")]
    pub(crate) destination: String,
    /// Address of the gateway, if the route has one.
    pub(crate) gateway: Option<String>,
    /// Interface that packets leave by.
    #[serde(rename = "dev")]
    pub(crate) device: Option<String>,
    /// Table of the route.
    #[serde(default = "main_table")]
    pub(crate) table: String,
    /// Metric: of two routes to a prefix, that with the lower one is used.
    #[serde(default)]
    pub(crate) metric: u32,
}

fn main_table() -> String {
    MAIN.to_owned()
}

/// Rule as `ip -json rule` prints it.
#[derive(Debug, Deserialize)]
struct ListedRule {
    priority: u32,
    src: Option<String>,
    fwmark: Option<String>,
    iif: Option<String>,
    table: Option<String>,
}

/// Reads the rules and the routes of all tables.
///
/// # Errors
/// Those of the two commands.
pub(crate) async fn read(remote: &Remote<'_>) -> Result<KernelTables, ActionError> {
    let rules: Vec<ListedRule> = remote.json(&RemoteCommand::read("ip").args(["-json", "rule"])).await?;
    let list = RemoteCommand::read("ip").args(["-json", "route", "show", "table", "all"]);
    let routes: Vec<TableRoute> = remote.json(&list).await?;
    Ok(KernelTables { order: lookup_order(rules), routes })
}

/// Names of the tables in the order of the rules. Rules that only some packets match, such as those
/// of tailscaled for its own packets, are left out.
fn lookup_order(mut rules: Vec<ListedRule>) -> Vec<String> {
    rules.sort_by_key(|rule| rule.priority);
    let is_for_all = |rule: &ListedRule| {
        rule.fwmark.is_none() && rule.iif.is_none() && rule.src.as_deref().is_none_or(|source| source == "all")
    };
    let tables = rules.into_iter().filter(is_for_all).filter_map(|rule| rule.table);
    tables.filter(|table| table != "local").collect()
}

impl KernelTables {
    /// The routes that drop packets for addresses of a prefix: for the first one that a host can
    /// have, or for that of a narrower route.
    pub(crate) fn dropping_in(&self, prefix: Ipv4Net) -> Vec<&TableRoute> {
        let narrower = self.routes.iter().filter_map(TableRoute::prefix).filter(|route| prefix.contains(route));
        let first = |net: Ipv4Net| net.hosts().next().unwrap_or_else(|| net.network());
        std::iter::once(prefix).chain(narrower).filter_map(|net| self.dropping(first(net))).collect()
    }

    /// The route that drops packets for an address, as the kernel looks it up: the tables in their
    /// order, in each the route with the longest prefix, and of those the one with the lowest
    /// metric. `None` if packets leave by an interface.
    fn dropping(&self, destination: Ipv4Addr) -> Option<&TableRoute> {
        let found = self.order.iter().find_map(|table| self.best(table, destination));
        found.filter(|route| route.kind.as_deref().is_some_and(|kind| DROPPING.contains(&kind)))
    }

    fn best(&self, table: &str, destination: Ipv4Addr) -> Option<&TableRoute> {
        let matching = self.routes.iter().filter(|route| route.table == table);
        let matching = matching.filter_map(|route| Some((route, route.prefix()?)));
        let matching = matching.filter(|(_, prefix)| prefix.contains(&destination));
        let best = matching.max_by_key(|(route, prefix)| (prefix.prefix_len(), std::cmp::Reverse(route.metric)));
        best.map(|(route, _)| route)
    }
}

impl TableRoute {
    /// Destination as a prefix; `None` for IPv6.
    fn prefix(&self) -> Option<Ipv4Net> {
        match self.destination.as_str() {
            "default" => Some(Ipv4Net::default()),
            text => text.parse().ok().or_else(|| text.parse::<Ipv4Addr>().ok().map(Ipv4Net::from)),
        }
    }

    /// The route in the words of `ip route`, such as `blackhole 10.9.0.0/16 table 52`.
    pub(crate) fn text(&self) -> String {
        let kind = self.kind.as_deref().unwrap_or("unicast");
        let table = if self.table == MAIN { String::new() } else { format!(" table {}", self.table) };
        format!("{kind} {}{table}", self.destination)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_looked_up_in_the_order_of_the_rules_for_all_packets() {
        let rules = r#"[{"priority":32766,"src":"all","table":"main"},{"priority":0,"src":"all","table":"local"},
            {"priority":5210,"src":"all","fwmark":"0x80000","fwmask":"0xff0000","table":"main"},
            {"priority":5250,"src":"all","fwmark":"0x80000","action":"unreachable"},
            {"priority":100,"src":"10.9.0.4","table":"eth1"},{"priority":5270,"src":"all","table":"52"}]"#;
        assert_eq!(lookup_order(serde_json::from_str(rules).expect("rules")), ["52", "main"]);
    }

    #[test]
    fn only_the_route_that_the_kernel_takes_drops() {
        let routes = r#"[{"dst":"default","gateway":"10.0.0.1","dev":"eth0","flags":[]},
            {"type":"blackhole","dst":"10.9.0.0/16","flags":[]},
            {"type":"unreachable","dst":"10.9.1.0/24","table":"52","flags":[]},
            {"dst":"10.9.2.0/24","dev":"tailscale0","table":"52","flags":[]},
            {"type":"throw","dst":"10.8.0.0/16","flags":[]},
            {"type":"prohibit","dst":"10.7.0.1","table":"99","flags":[]}]"#;
        let routes: Vec<TableRoute> = serde_json::from_str(routes).expect("routes");
        let tables = KernelTables { order: vec!["52".into(), "main".into()], routes };
        for (destination, expected) in [
            ("10.9.3.1", Some("blackhole 10.9.0.0/16")),
            ("10.9.1.1", Some("unreachable 10.9.1.0/24 table 52")),
            ("10.9.2.1", None),
            ("10.8.0.1", None),
            ("10.7.0.1", None),
        ] {
            let destination = destination.parse().expect("an address");
            assert_eq!(tables.dropping(destination).map(TableRoute::text).as_deref(), expected, "{destination}");
        }
        let found = tables.dropping_in("10.9.0.0/17".parse().expect("a prefix"));
        let found: Vec<String> = found.into_iter().map(TableRoute::text).collect();
        assert_eq!(found, ["blackhole 10.9.0.0/16", "unreachable 10.9.1.0/24 table 52"]);
    }
}
