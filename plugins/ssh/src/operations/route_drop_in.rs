use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::kernel_route::ManagedRoute;

/// First line of the drop-in.
const HEADER: &str = "# Kept by stargate: routes that outlive a reboot.\n";

/// Path of the drop-in with the routes of the device that `network_unit` configures. netplan and
/// cloud-init can rewrite the unit's own file; a drop-in under /etc stays.
pub(crate) fn path(network_unit: &str) -> String {
    format!("/etc/systemd/network/{network_unit}.d/60-stargate.conf")
}

/// Parses the routes of a drop-in for `device`.
///
/// A section without a readable destination or gateway is not a managed route and is left out.
pub(crate) fn parse(text: &str, device: &str) -> Vec<ManagedRoute> {
    let sections = text.split("[Route]").skip(1);
    sections.filter_map(|section| parse_section(section, device)).collect()
}

/// Renders the text of a drop-in.
pub(crate) fn render(routes: &[ManagedRoute]) -> String {
    let section = |route: &ManagedRoute| format!("\n[Route]\nDestination={}\nGateway={}\n", route.prefix, route.via);
    HEADER.to_owned() + &routes.iter().map(section).collect::<String>()
}

/// Route of the text between two `[Route]` lines; `None` if a value is missing or is not IPv4.
fn parse_section(section: &str, device: &str) -> Option<ManagedRoute> {
    let value = |key: &str| section.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
    let prefix: Ipv4Net = value("Destination")?.trim().parse().ok()?;
    let via: Ipv4Addr = value("Gateway")?.trim().parse().ok()?;
    Some(ManagedRoute { prefix, via, device: device.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rendered_routes_are_parsed_again() {
        let route = |prefix: &str| ManagedRoute {
            prefix: prefix.parse().expect("prefix"),
            via: Ipv4Addr::new(10, 0, 0, 1),
            device: "eth0".into(),
        };
        let routes = vec![route("10.1.0.0/16"), route("10.2.0.0/16")];
        assert_eq!(parse(&render(&routes), "eth0"), routes);
        assert_eq!(parse("[Match]\nName=eth0\n", "eth0"), []);
    }
}
