use std::net::Ipv4Addr;

use super::{
    facts::{HostRoute, TracedHost},
    machines::Machine,
    report::{Fault, PathSurface},
};

/// Interface of tailscaled.
const TUNNEL: &str = "tailscale0";

/// Result of looking a destination up in a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lookup<'a> {
    /// The packet goes into the tunnel.
    Tunnel(&'a HostRoute),
    /// The packet leaves by another interface, to the gateway if the route has one.
    Device(&'a HostRoute),
    /// No route, or one that drops packets.
    Dropped(Option<&'a HostRoute>),
}

impl TracedHost {
    /// Looks up a destination as the kernel does: the tables in their order, in each the route with
    /// the longest prefix, and of those the one with the lowest metric.
    pub(super) fn lookup(&self, destination: Ipv4Addr) -> Lookup<'_> {
        let found = self.tables.iter().find_map(|table| self.best_route(table, destination));
        match found {
            Some(route) if route.kind.is_some() => Lookup::Dropped(Some(route)),
            Some(route) if route.device.as_deref() == Some(TUNNEL) => Lookup::Tunnel(route),
            Some(route) => Lookup::Device(route),
            None => Lookup::Dropped(None),
        }
    }

    fn best_route(&self, table: &str, destination: Ipv4Addr) -> Option<&HostRoute> {
        let matching = self.routes.iter().filter(|route| route.table == table);
        let matching = matching.filter_map(|route| Some((route, route.prefix()?)));
        let matching = matching.filter(|(_, prefix)| prefix.contains(&destination));
        let best = matching.max_by_key(|(route, prefix)| (prefix.prefix_len(), std::cmp::Reverse(route.metric)));
        best.map(|(route, _)| route)
    }
}

/// Fault of a route that drops packets, such as a blackhole; `None` if there is no such route for
/// the destination.
pub(super) fn dropped(at: &Machine<'_>, host: &TracedHost, destination: Ipv4Addr) -> Option<Fault> {
    let Lookup::Dropped(Some(route)) = host.lookup(destination) else { return None };
    let kind = route.kind.as_deref().unwrap_or_default();
    let found = format!("{kind} {}", text(route));
    let command =
        format!("`sudo ip route delete {kind} {} table {}` on the host removes it", route.destination, route.table);
    let object = format!("kernel routes of {}", at.name);
    let expected = format!("no route that drops packets for {destination}");
    Some(Fault::own(PathSurface::KernelRoute, object, expected, found).with_command(command))
}

/// Checks that the reverse path filter of the interface that a packet comes in by admits its
/// source: a strict one does if the kernel would answer by the same interface.
///
/// # Errors
/// The filter drops the packet.
pub(super) fn check_path_filter(
    at: &Machine<'_>,
    host: &TracedHost,
    source: Ipv4Addr,
    from_tunnel: bool,
) -> Result<(), Fault> {
    let entrance = if from_tunnel { Some(TUNNEL) } else { host.device_of(at.ip) };
    let Some(device) = entrance.filter(|device| host.strict_path_filters.iter().any(|strict| strict == device)) else {
        return Ok(());
    };
    let back = host.lookup(source);
    if back.device() == Some(device) {
        return Ok(());
    }
    let found = format!("strict for {device}, and the way back: {}", back.text());
    let object = format!("reverse path filter of {}", at.name);
    let fault = Fault::own(PathSurface::PathFilter, object, "net.ipv4.conf.all.rp_filter = 2", found);
    // A synchronization sets the filter of routers only.
    let command = "`sudo sysctl -w net.ipv4.conf.all.rp_filter=2` on the host repairs it";
    Err(if at.is_router() { fault } else { fault.with_command(command) })
}

impl TracedHost {
    /// The interface that packets to a machine's address come in by: that of the narrowest route
    /// to its own network, or else that of a route to a gateway.
    fn device_of(&self, address: Ipv4Addr) -> Option<&str> {
        let outside = || {
            let routes = self.routes.iter().filter(|route| route.kind.is_none());
            routes.filter_map(|route| Some((route, route.device.as_deref().filter(|device| *device != TUNNEL)?)))
        };
        let connected = outside().filter(|(route, _)| route.gateway.is_none());
        let connected = connected.filter_map(|(route, device)| Some((route.prefix()?, device)));
        let own =
            connected.filter(|(prefix, _)| prefix.contains(&address)).max_by_key(|(prefix, _)| prefix.prefix_len());
        own.map(|(_, device)| device)
            .or_else(|| outside().find(|(route, _)| route.gateway.is_some()).map(|(_, device)| device))
    }
}

impl Lookup<'_> {
    pub(super) fn is_tunnel(&self) -> bool {
        matches!(self, Self::Tunnel(_))
    }

    /// The interface that the packet leaves by.
    fn device(&self) -> Option<&str> {
        match self {
            Self::Tunnel(route) | Self::Device(route) => route.device.as_deref(),
            Self::Dropped(_) => None,
        }
    }

    /// Words for the route, such as `route default of table main via 10.0.0.1 dev eth0`.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Tunnel(route) | Self::Device(route) => text(route),
            Self::Dropped(Some(route)) => format!("{} {}", route.kind.as_deref().unwrap_or_default(), text(route)),
            Self::Dropped(None) => "no route".to_owned(),
        }
    }
}

fn text(route: &HostRoute) -> String {
    let part = |word: &str, value: &Option<String>| value.as_ref().map(|value| format!(" {word} {value}"));
    let via = part("via", &route.gateway).unwrap_or_default();
    let device = part("dev", &route.device).unwrap_or_default();
    format!("route {} of table {}{via}{device}", route.destination, route.table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::machines::Role;

    fn route(table: &str, destination: &str, device: &str) -> HostRoute {
        HostRoute {
            table: table.into(),
            destination: destination.into(),
            gateway: None,
            device: Some(device.into()),
            kind: None,
            metric: 0,
        }
    }

    fn via(table: &str, destination: &str, device: &str) -> HostRoute {
        HostRoute { gateway: Some("10.237.0.1".into()), ..route(table, destination, device) }
    }

    /// A router with two interfaces, whose own network is on the first.
    fn strict_router(routes: Vec<HostRoute>) -> TracedHost {
        let own = [via("main", "default", "eth0"), route("main", "10.237.0.0/24", "eth0")];
        TracedHost {
            tables: vec!["52".into(), "main".into()],
            routes: own.into_iter().chain(routes).collect(),
            strict_path_filters: vec!["eth0".into(), TUNNEL.into()],
            ..TracedHost::default()
        }
    }

    fn filtered(host: &TracedHost, source: &str, from_tunnel: bool) -> Option<String> {
        let router = Machine { name: "r", role: Role::AksRouter, ip: Ipv4Addr::new(10, 237, 0, 4), site: None };
        let fault = check_path_filter(&router, host, source.parse().expect("an address"), from_tunnel).err();
        fault.map(|fault| fault.found)
    }

    #[test]
    fn a_strict_filter_admits_sources_that_are_answered_by_the_same_interface() {
        let plain = strict_router(vec![route("52", "10.244.64.0/18", TUNNEL)]);
        assert_eq!(filtered(&plain, "10.244.0.9", false), None);
        assert_eq!(filtered(&plain, "10.244.64.9", true), None);
        let by_tunnel = "strict for eth0, and the way back: route 10.244.64.0/18 of table 52 dev tailscale0";
        assert_eq!(filtered(&plain, "10.244.64.9", false).as_deref(), Some(by_tunnel));
        assert!(filtered(&plain, "10.244.0.9", true).is_some_and(|found| found.starts_with("strict for tailscale0")));
        let second = strict_router(vec![via("main", "10.244.0.0/24", "eth1")]);
        let by_second = "strict for eth0, and the way back: route 10.244.0.0/24 of table main via 10.237.0.1 dev eth1";
        assert_eq!(filtered(&second, "10.244.0.9", false).as_deref(), Some(by_second));
        assert_eq!(filtered(&second, "10.244.1.9", false), None);
        let loose = TracedHost { strict_path_filters: vec!["eth1".into()], ..second };
        assert_eq!(filtered(&loose, "10.244.0.9", false), None);
    }

    #[test]
    fn tables_come_before_prefixes_and_prefixes_before_metrics() {
        let mut host = TracedHost {
            tables: vec!["52".into(), "main".into()],
            routes: vec![
                route("main", "10.1.1.0/24", "eth0"),
                route("52", "10.1.0.0/16", TUNNEL),
                route("main", "default", "eth0"),
                route("main", "10.2.0.0/16", "eth1"),
            ],
            ..TracedHost::default()
        };
        let of = |host: &TracedHost, text: &str| host.lookup(text.parse().expect("an address")).text();
        assert_eq!(of(&host, "10.1.1.4"), "route 10.1.0.0/16 of table 52 dev tailscale0");
        assert_eq!(of(&host, "10.2.0.1"), "route 10.2.0.0/16 of table main dev eth1");
        assert_eq!(of(&host, "192.0.2.1"), "route default of table main dev eth0");
        host.routes.push(HostRoute { metric: 10, ..route("main", "10.2.0.0/16", "eth2") });
        assert_eq!(of(&host, "10.2.0.1"), "route 10.2.0.0/16 of table main dev eth1");
        host.routes.push(HostRoute { kind: Some("blackhole".into()), ..route("main", "10.2.0.1", "lo") });
        assert!(matches!(host.lookup("10.2.0.1".parse().expect("an address")), Lookup::Dropped(Some(_))));
        host.tables.clear();
        assert_eq!(host.lookup(Ipv4Addr::LOCALHOST), Lookup::Dropped(None));
    }
}
