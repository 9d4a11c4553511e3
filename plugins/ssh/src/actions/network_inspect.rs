use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::Arc,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Preview, Recovery, RequiredPermissions};

use super::forward_filter_check::firewall_rules;
use crate::{
    SshHost,
    client::{ConnectionPool, NOT_INSTALLED, Remote},
    operations::{
        forward_filter::ForwardedPacket,
        kernel_lookup::{self, KernelTables, TableRoute},
        mss_clamp::{self, Clamped},
        sysctl, tailscale_preferences, tailscale_status,
        unit::{self, SystemdUnitState},
    },
};

/// Unit of tailscaled, as all packages of Tailscale name it.
const TAILSCALED: &str = "tailscaled.service";
const FORWARDING: &str = "net.ipv4.ip_forward";

/// Action `ssh.network.inspect`: reads what decides on a host about the packets that it forwards.
///
/// A host that cannot be read is not an error: the output has the reason.
pub(crate) struct NetworkInspect {
    pool: Arc<ConnectionPool>,
}

/// Host to inspect.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NetworkInspectInput {
    /// Host to connect to.
    pub host: SshHost,
    /// True if the host is a router: tailscaled and the clamp of TCP's segments are read.
    #[serde(default)]
    pub router: bool,
    /// Addresses between which packets are traced through the host's firewall, in both directions.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub ends: Vec<Ipv4Addr>,
}

/// Network configuration in force on a host, in the form of the input of `routes.path.trace`.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct InspectedHost {
    /// Reason for which the host could not be read; `null` if it was.
    pub unread: Option<String>,
    /// True if the kernel forwards packets.
    pub forwarding: bool,
    /// Interfaces of routes whose reverse path filter is strict.
    pub strict_path_filters: Vec<String>,
    /// Tables in the order in which the kernel looks packets up, the local one left out.
    pub tables: Vec<String>,
    /// Routes of all tables.
    pub routes: Vec<InspectedKernelRoute>,
    /// State of tailscaled; `null` on a host that is not a router.
    pub tailscale: Option<InspectedTailscale>,
    /// True if the segments of TCP through the tunnel are clamped in both directions; `null` on a
    /// host that is not a router.
    pub clamped: Option<bool>,
    /// Chains of the firewall that drop packets between the ends.
    pub dropping: Vec<InspectedDrop>,
}

/// Route of the kernel.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct InspectedKernelRoute {
    /// Table of the route.
    pub table: String,
    /// Destination: a prefix, an address, or `default`.
    pub destination: String,
    /// Address of the gateway, if the route has one.
    pub gateway: Option<String>,
    /// Interface that packets leave by.
    pub device: Option<String>,
    /// Type of the route if it is not a unicast route, such as `blackhole`.
    pub kind: Option<String>,
    /// Metric: of two routes to a prefix, that with the lower one is used.
    #[serde(default)]
    pub metric: u32,
}

/// State of tailscaled.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct InspectedTailscale {
    /// `Running` if it is connected to the tailnet, `Inactive` if its unit is not active, and
    /// `KeyExpired` if the key of the device has expired.
    pub state: String,
    /// Stable node id of the device.
    pub node_id: String,
    /// True if routes of other devices are installed.
    pub accept_routes: bool,
    /// True if forwarded packets get the device's own source address.
    pub snat: bool,
    /// True if only replies pass into the tunnel.
    pub stateful_filtering: bool,
    /// Routes that the device advertises.
    pub advertised: Vec<String>,
}

/// Base chain of the firewall that drops a packet.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub(crate) struct InspectedDrop {
    /// Source of the packet.
    pub source: String,
    /// Destination of the packet.
    pub destination: String,
    /// True if the packet comes out of the tunnel.
    pub from_tunnel: bool,
    /// True if the packet goes into the tunnel.
    pub to_tunnel: bool,
    /// True if the packet answers one that the host has forwarded.
    #[serde(default)]
    pub reply: bool,
    /// Family and name of the table, such as `inet filter`.
    pub table: String,
    /// Name of the chain.
    pub chain: String,
}

impl NetworkInspect {
    pub(crate) fn new(pool: Arc<ConnectionPool>) -> Self {
        Self { pool }
    }

    async fn inspect(&self, cx: &ActionContext, input: &NetworkInspectInput) -> Result<InspectedHost, ActionError> {
        let remote = self.pool.remote(cx, &input.host)?;
        let settings = sysctl::read(&remote, &[FORWARDING.to_owned()]).await?;
        let KernelTables { order, routes } = kernel_lookup::read(&remote).await?;
        Ok(InspectedHost {
            unread: None,
            forwarding: settings.get(FORWARDING).is_some_and(|value| value == "1"),
            strict_path_filters: strict_path_filters(&remote, &routes).await?,
            tables: order,
            routes: routes.into_iter().map(InspectedKernelRoute::from).collect(),
            tailscale: if input.router { Some(read_tailscale(&remote).await?) } else { None },
            clamped: if input.router { Some(is_clamped(&remote).await?) } else { None },
            dropping: dropping(&remote, input).await?,
        })
    }
}

impl RequiredPermissions for NetworkInspect {}

impl Action for NetworkInspect {
    type Input = NetworkInspectInput;
    type Output = InspectedHost;
    const NAME: &'static str = "ssh.network.inspect";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Reads what decides on a host about the packets that it forwards.";

    async fn run(&self, cx: &ActionContext, input: &NetworkInspectInput) -> Result<InspectedHost, ActionError> {
        match self.inspect(cx, input).await {
            Err(error) if !cx.cancellation().is_cancelled() => {
                Ok(InspectedHost { unread: Some(error.message), ..InspectedHost::default() })
            }
            result => result,
        }
    }

    async fn preview(&self, cx: &ActionContext, input: &NetworkInspectInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl From<TableRoute> for InspectedKernelRoute {
    fn from(route: TableRoute) -> Self {
        let TableRoute { kind, destination, gateway, device, table, metric } = route;
        Self { table, destination, gateway, device, kind: kind.filter(|kind| kind != "unicast"), metric }
    }
}

async fn read_tailscale(remote: &Remote<'_>) -> Result<InspectedTailscale, ActionError> {
    let SystemdUnitState { active, .. } = unit::read(remote, TAILSCALED).await?;
    if active != "active" {
        return Ok(InspectedTailscale {
            state: "Inactive".into(),
            node_id: String::new(),
            accept_routes: false,
            snat: false,
            stateful_filtering: false,
            advertised: Vec::new(),
        });
    }
    let status = tailscale_status::read(remote).await?;
    let preferences = tailscale_preferences::read(remote).await?;
    let has_expired = status.node.as_ref().is_some_and(|node| node.expired);
    Ok(InspectedTailscale {
        state: if has_expired { "KeyExpired".into() } else { status.backend_state },
        node_id: status.node.as_ref().map(|node| node.id.clone()).unwrap_or_default(),
        accept_routes: preferences.accept,
        snat: preferences.snat,
        stateful_filtering: preferences.filter,
        advertised: preferences.advertise,
    })
}

/// Interfaces of routes whose reverse path filter is strict: the larger of the interface's setting
/// and that of all counts, and 1 is strict (`rp_filter` in the kernel's `ip-sysctl.rst`).
async fn strict_path_filters(remote: &Remote<'_>, routes: &[TableRoute]) -> Result<Vec<String>, ActionError> {
    let devices: BTreeSet<&str> = routes.iter().filter_map(|route| route.device.as_deref()).collect();
    // With slashes a dot in the name of an interface is one of the name.
    let key = |name: &str| format!("net/ipv4/conf/{name}/rp_filter");
    let keys = devices.iter().copied().chain(["all"]).map(key);
    let settings = sysctl::read_present(remote, keys).await?;
    // The program prints a dot of the name as a slash.
    let setting = |name: &str| settings.get(&format!("net.ipv4.conf.{}.rp_filter", name.replace('.', "/")));
    let all = setting("all");
    let is_strict = |device: &&str| setting(device).max(all).is_some_and(|value| value == "1");
    Ok(devices.into_iter().filter(is_strict).map(str::to_owned).collect())
}

async fn is_clamped(remote: &Remote<'_>) -> Result<bool, ActionError> {
    match mss_clamp::read(remote).await {
        Ok(clamped) => Ok(clamped == Clamped::BothDirections),
        Err(error) if error.code.as_deref() == Some(NOT_INSTALLED) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Chains that drop packets between the ends, from each side of the host to each.
async fn dropping(remote: &Remote<'_>, input: &NetworkInspectInput) -> Result<Vec<InspectedDrop>, ActionError> {
    let Some(rules) = firewall_rules(remote).await? else { return Ok(Vec::new()) };
    let sides: &[(bool, bool)] =
        if input.router { &[(false, false), (false, true), (true, false)] } else { &[(false, false)] };
    let mut found = BTreeMap::new();
    let ends = input.ends.iter().flat_map(|from| input.ends.iter().map(move |to| (*from, *to)));
    for (source, destination) in ends.filter(|(from, to)| from != to) {
        for (&(from_tunnel, to_tunnel), is_reply) in sides.iter().flat_map(|side| [(side, false), (side, true)]) {
            let packet = ForwardedPacket { from_tunnel, to_tunnel, source, destination, is_reply };
            for drop in rules.dropping(&packet) {
                let key = (source, destination, from_tunnel, to_tunnel, is_reply);
                found.entry(key).or_insert_with(|| InspectedDrop {
                    source: source.to_string(),
                    destination: destination.to_string(),
                    from_tunnel,
                    to_tunnel,
                    reply: is_reply,
                    table: drop.table,
                    chain: drop.chain,
                });
            }
        }
    }
    Ok(found.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_without_a_table_is_in_the_main_one() {
        let routes = r#"[{"dst":"default","gateway":"10.0.0.1","dev":"eth0","flags":[]},
            {"type":"blackhole","dst":"10.9.0.0/16","table":"52","flags":[]}]"#;
        let routes: Vec<TableRoute> = serde_json::from_str(routes).expect("routes");
        let routes: Vec<_> = routes.into_iter().map(InspectedKernelRoute::from).collect();
        assert_eq!((routes[0].table.as_str(), routes[0].kind.as_deref()), ("main", None));
        assert_eq!((routes[1].table.as_str(), routes[1].kind.as_deref()), ("52", Some("blackhole")));
    }
}
