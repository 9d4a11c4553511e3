use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::network::linux_mac;
use super::state::{KernelRoute, MAIN_TABLE, Machine, base_name};
use super::systemd_files::{Section, configuration_files, sections};
use crate::event::Nic;

/// Configuration directories of systemd-networkd, in descending priority.
const DIRECTORIES: [&str; 3] = ["/etc/systemd/network", "/run/systemd/network", "/usr/lib/systemd/network"];

/// Configuration of one interface, as networkd's files describe it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LinkConfiguration {
    /// Path of the `.network` file that matches, if any.
    pub(super) file: Option<String>,
    /// Paths of its drop-in files, in the order in which they are applied.
    pub(super) drop_ins: Vec<String>,
    /// Addresses of `Address=` settings.
    pub(super) addresses: Vec<Ipv4Net>,
    /// Routes of `Gateway=` settings and of `[Route]` sections.
    pub(super) routes: Vec<KernelRoute>,
}

impl Machine {
    /// Reads the current configuration files for an interface.
    pub(super) fn link_configuration(&self, interface: &str) -> LinkConfiguration {
        let files = configuration_files(&self.files, &DIRECTORIES, ".network");
        let Some(file) = files.into_iter().find(|file| self.matches(file, interface)) else {
            return LinkConfiguration::default();
        };
        let directories: Vec<String> =
            DIRECTORIES.iter().map(|directory| format!("{directory}/{}.d", base_name(&file))).collect();
        let directories: Vec<&str> = directories.iter().map(String::as_str).collect();
        let drop_ins = configuration_files(&self.files, &directories, ".conf");
        let paths = std::iter::once(&file).chain(&drop_ins);
        let texts: Vec<String> = paths.filter_map(|path| self.files.text(path)).collect();
        let sections: Vec<Section> = texts.iter().flat_map(|text| sections(text)).collect();
        let addresses = addresses(&sections);
        let routes = routes(&sections, interface);
        LinkConfiguration { file: Some(file), drop_ins, addresses, routes }
    }

    /// Applies networkd's files to the interfaces whose configuration has changed, or to all of
    /// them.
    ///
    /// Routes of other programs on such an interface are removed, as with
    /// `ManageForeignRoutes=yes`, the default.
    pub fn apply_network(&mut self, all: bool) {
        for interface in self.links() {
            let configuration = self.link_configuration(&interface);
            let text = format!("{configuration:?}");
            if all || self.applied.get(&interface) != Some(&text) {
                self.configure(&interface, &configuration);
                self.applied.insert(interface, text);
            }
        }
    }

    /// Applies networkd's files to one interface, changed or not.
    pub fn reconfigure(&mut self, interface: &str) {
        let configuration = self.link_configuration(interface);
        self.configure(interface, &configuration);
        self.applied.insert(interface.to_owned(), format!("{configuration:?}"));
    }

    /// Returns the names of the interfaces that networkd manages.
    pub fn links(&self) -> Vec<String> {
        (0..self.spec.nics.len()).map(|index| format!("eth{index}")).collect()
    }

    /// Writes the image's configuration file of each NIC.
    ///
    /// It sets the address and, for the first NIC, the gateway.
    pub fn write_network_files(&mut self) {
        for (index, nic) in self.spec.nics.clone().iter().enumerate() {
            let text = network_file(&format!("eth{index}"), nic, index == 0);
            self.files.put(&format!("/etc/systemd/network/10-eth{index}.network"), 0o644, text);
        }
    }

    /// Replaces the addresses and routes of an interface.
    ///
    /// The first of several routes with the same table, prefix and metric is used.
    fn configure(&mut self, interface: &str, configuration: &LinkConfiguration) {
        self.kernel_routes.retain(|route| route.device.as_deref() != Some(interface));
        for address in &configuration.addresses {
            self.kernel_routes.push(connected(interface, *address));
        }
        self.addresses.insert(interface.to_owned(), configuration.addresses.clone());
        let mut seen: BTreeSet<(u32, Ipv4Net, u32)> = BTreeSet::new();
        for route in &configuration.routes {
            if seen.insert((route.table, route.prefix, route.metric)) {
                self.kernel_routes.push(route.clone());
            }
        }
    }

    /// Returns true if the `[Match]` section of the file matches the interface. A file without
    /// conditions matches none.
    fn matches(&self, file: &str, interface: &str) -> bool {
        let sections = sections(&self.files.text(file).unwrap_or_default());
        let settings = sections.iter().filter(|(name, _)| name == "Match").flat_map(|(_, settings)| settings);
        let index = interface.trim_start_matches("eth").parse::<usize>().ok();
        let mac = index.and_then(|index| self.spec.nics.get(index)).map(linux_mac);
        let mut any = false;
        for (key, value) in settings {
            any = true;
            let fits = match key.as_str() {
                "Name" | "OriginalName" => {
                    value.split_whitespace().any(|pattern| super::shell::matches(pattern, interface))
                }
                "MACAddress" | "PermanentMACAddress" => mac.as_deref() == Some(&value.to_lowercase()),
                "Type" => value == "ether",
                _ => true,
            };
            if !fits {
                return false;
            }
        }
        any
    }
}

/// Returns the text of the image's configuration file for one NIC.
fn network_file(interface: &str, nic: &Nic, primary: bool) -> String {
    let length = subnet(nic).map_or(24, |subnet| subnet.prefix_len());
    let mut text = format!("[Match]\nName={interface}\n\n[Network]\nAddress={}/{length}\n", nic.private_ip);
    if let Some(gateway) = subnet(nic).and_then(|subnet| subnet.hosts().next()).filter(|_| primary) {
        use std::fmt::Write as _;
        writeln!(text, "Gateway={gateway}").expect("writing to a string does not fail");
    }
    text
}

/// Returns the prefix of the NIC's subnet; `None` if it is not a valid prefix.
fn subnet(nic: &Nic) -> Option<Ipv4Net> {
    nic.subnet_prefix.parse().ok()
}

/// Returns the connected route that the kernel adds for an address.
fn connected(interface: &str, address: Ipv4Net) -> KernelRoute {
    KernelRoute {
        device: Some(interface.to_owned()),
        protocol: "kernel".to_owned(),
        scope: "link".to_owned(),
        source: Some(address.addr()),
        ..KernelRoute::to(address.trunc())
    }
}

/// Returns the addresses of the `[Network]` and `[Address]` sections.
fn addresses(sections: &[Section]) -> Vec<Ipv4Net> {
    let settings = sections.iter().filter(|(name, _)| name == "Network" || name == "Address");
    let values = settings.flat_map(|(_, settings)| settings).filter(|(key, _)| key == "Address");
    values.filter_map(|(_, value)| value.parse().ok()).collect()
}

/// Returns the routes of `Gateway=` settings and of the `[Route]` sections.
fn routes(sections: &[Section], interface: &str) -> Vec<KernelRoute> {
    let network = sections.iter().filter(|(name, _)| name == "Network").flat_map(|(_, settings)| settings);
    let gateways = network.filter(|(key, _)| key == "Gateway").filter_map(|(_, value)| value.parse::<Ipv4Addr>().ok());
    let default =
        gateways.map(|gateway| KernelRoute { gateway: Some(gateway), ..networkd_route(interface, Ipv4Net::default()) });
    let named = sections.iter().filter(|(name, _)| name == "Route");
    default.chain(named.filter_map(|(_, settings)| route(settings, interface))).collect()
}

/// Returns a route as networkd makes it, with protocol `static`.
fn networkd_route(interface: &str, prefix: Ipv4Net) -> KernelRoute {
    let device = Some(interface.to_owned());
    KernelRoute { device, protocol: "static".to_owned(), ..KernelRoute::to(prefix) }
}

/// Reads one `[Route]` section; `None` if a value is not valid.
fn route(settings: &[(String, String)], interface: &str) -> Option<KernelRoute> {
    let value = |name: &str| settings.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let destination = value("Destination").map_or(Some(Ipv4Net::default()), |text| {
        text.parse::<Ipv4Net>().ok().or_else(|| text.parse::<Ipv4Addr>().ok().map(Ipv4Net::from))
    })?;
    let gateway = value("Gateway").and_then(|text| text.parse().ok());
    let table = value("Table").map_or(Some(MAIN_TABLE), |table| match table {
        "main" => Some(MAIN_TABLE),
        number => number.parse().ok(),
    })?;
    let kind = value("Type").unwrap_or("unicast").to_owned();
    let scope = value("Scope").unwrap_or(if gateway.is_none() && kind == "unicast" { "link" } else { "global" });
    Some(KernelRoute {
        gateway,
        device: (kind == "unicast").then(|| interface.to_owned()),
        kind,
        scope: scope.to_owned(),
        source: value("PreferredSource").and_then(|text| text.parse().ok()),
        metric: value("Metric").and_then(|text| text.parse().ok()).unwrap_or_default(),
        table,
        ..networkd_route(interface, destination.trunc())
    })
}
