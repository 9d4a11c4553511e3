use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::kernel_route::Route;

const HEADER: &str = "# Kept by stargate: routes that outlive a reboot.\n";

/// Where the routes of a device go that the unit `network_unit` configures. Its own file may be written anew by netplan
/// or cloud-init; what lies beside it under /etc stays.
pub(crate) fn path(network_unit: &str) -> String {
    format!("/etc/systemd/network/{network_unit}.d/60-stargate.conf")
}

/// The routes in a drop-in for `device`.
pub(crate) fn parse(text: &str, device: &str) -> Vec<Route> {
    let sections = text.split("[Route]").skip(1);
    sections.filter_map(|section| parse_section(section, device)).collect()
}

/// The drop-in's text.
pub(crate) fn render(routes: &[Route]) -> String {
    let section = |route: &Route| format!("\n[Route]\nDestination={}\nGateway={}\n", route.prefix, route.via);
    HEADER.to_owned() + &routes.iter().map(section).collect::<String>()
}

fn parse_section(section: &str, device: &str) -> Option<Route> {
    let value = |key: &str| section.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
    let prefix: Ipv4Net = value("Destination")?.trim().parse().ok()?;
    let via: Ipv4Addr = value("Gateway")?.trim().parse().ok()?;
    Some(Route { prefix, via, device: device.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let route = |prefix: &str| Route {
            prefix: prefix.parse().expect("prefix"),
            via: Ipv4Addr::new(10, 0, 0, 1),
            device: "eth0".into(),
        };
        let routes = vec![route("10.1.0.0/16"), route("10.2.0.0/16")];
        assert_eq!(parse(&render(&routes), "eth0"), routes);
        assert_eq!(parse("[Match]\nName=eth0\n", "eth0"), []);
    }
}
