//! The tailnet: which device serves a prefix, and why one does not.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::{
    facts::{HostTailscale, TraceFacts, TracedHost},
    kernel::{self, Lookup},
    machines::{Machine, Role},
    report::{Fault, PathSurface},
};
use crate::path::DeviceFacts;

/// Direction in which a packet passes tailscaled on a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TunnelPass {
    /// A forwarded packet enters the tunnel.
    In,
    /// A packet leaves the tunnel and is forwarded.
    Out,
}

/// Checks that the preferences of tailscaled let the first packet of a connection pass unchanged.
/// Replies pass with their connection.
///
/// # Errors
/// A preference drops or changes the packet.
pub(super) fn check_preferences(router: &Machine<'_>, host: &TracedHost, pass: TunnelPass) -> Result<(), Fault> {
    let Some(tailscale) = &host.tailscale else { return Ok(()) };
    let object = format!("tailscaled on {}", router.name);
    let fault = |expected: &str, found: &str| Err(Fault::own(PathSurface::Tailscaled, object, expected, found));
    match pass {
        TunnelPass::Out if tailscale.snat => fault("snat-subnet-routes=false", "snat-subnet-routes=true"),
        TunnelPass::In if tailscale.stateful_filtering => {
            fault("stateful-filtering=false", "stateful-filtering=true: it drops packets that are no replies")
        }
        TunnelPass::In | TunnelPass::Out => Ok(()),
    }
}

/// Checks that tailscaled on a router is connected to the tailnet.
///
/// # Errors
/// It is not.
pub(super) fn check_connection(router: &Machine<'_>, host: &TracedHost) -> Result<(), Fault> {
    let Some(tailscale) = &host.tailscale else { return Ok(()) };
    let object = format!("tailscaled on {}", router.name);
    let fault = |expected: &str, found: &str| Err(Fault::own(PathSurface::Tailscaled, object.clone(), expected, found));
    match tailscale {
        HostTailscale { state, .. } if state == "KeyExpired" => {
            let hint = "`sudo tailscale up --force-reauth` on the host renews it";
            fault("a valid key", "an expired key").map_err(|fault: Fault| fault.with_command(hint))
        }
        HostTailscale { state, .. } if state == "NeedsLogin" => {
            let hint = "`sudo tailscale up --force-reauth --auth-key=KEY` on the host logs it in";
            fault("a connected device", "a device that is logged out").map_err(|fault: Fault| fault.with_command(hint))
        }
        HostTailscale { state, .. } if state != "Running" => fault("state Running", &format!("state {state}")),
        _ => Ok(()),
    }
}

/// The router that receives the packets for a destination from the tunnel.
///
/// # Errors
/// Another device serves the destination, or none does.
pub(super) fn receiver<'f>(
    facts: &'f TraceFacts,
    from: &Machine<'f>,
    expected: &Machine<'f>,
    destination: Ipv4Addr,
) -> Result<Machine<'f>, Fault> {
    let Some(device) = facts.serving(destination) else {
        return Err(why_not_served(facts, from, expected, destination));
    };
    let router = facts.routers.iter().find(|router| router.node_id == device.node_id);
    match router.and_then(|router| facts.machine(&router.name)) {
        Some(machine) if machine.name == expected.name => Ok(machine),
        Some(machine) => Err(taken(device, destination, &machine.label(), expected)),
        None => Err(taken(device, destination, &format!("device {}", device.name), expected)),
    }
}

/// Reason for which a router sends a packet elsewhere than into the tunnel.
pub(super) fn why_not_tunnelled(
    facts: &TraceFacts,
    from: &Machine<'_>,
    host: &TracedHost,
    expected: &Machine<'_>,
    destination: Ipv4Addr,
) -> Fault {
    let accepts = host.tailscale.as_ref().is_none_or(|tailscale| tailscale.accept_routes);
    if !accepts {
        let object = format!("tailscaled on {}", from.name);
        return Fault::own(PathSurface::AcceptedRoute, object, "accept-routes=true", "accept-routes=false");
    }
    if let Some(fault) = kernel::dropped(from, host, destination) {
        return fault;
    }
    let is_served = facts.serving(destination).is_some_and(|device| facts.router_of(device) == Some(expected.name));
    let is_connected = facts.host(expected).is_none_or(|host| check_connection(expected, host).is_ok());
    if !is_served || !is_connected {
        return why_not_served(facts, from, expected, destination);
    }
    let object = format!("kernel routes of {}", from.name);
    let expected = format!("a route to {destination} in table 52");
    let found = host.lookup(destination).text();
    let hint = "tailscaled adds it when it hears of the approval: wait, or restart tailscaled on the host";
    Fault::own(PathSurface::KernelRoute, object, expected, found).with_command(hint)
}

/// Fault of a router whose table 52 takes packets that belong to its own site.
pub(super) fn takes_own(facts: &TraceFacts, from: &Machine<'_>, lookup: &Lookup<'_>, destination: Ipv4Addr) -> Fault {
    let object = format!("kernel routes of {}", from.name);
    let device = facts.serving(destination).map(|device| format!(", which device {} serves", device.name));
    let found = format!("{}{}", lookup.text(), device.unwrap_or_default());
    Fault::own(PathSurface::AcceptedRoute, object, format!("no accepted route that covers {destination}"), found)
        .with_command("withdraw the approval of that route from the device in the admin console")
}

/// Reason for which no device serves a destination, or another one than the expected router.
fn why_not_served(facts: &TraceFacts, from: &Machine<'_>, expected: &Machine<'_>, destination: Ipv4Addr) -> Fault {
    if let Some(Err(fault)) = facts.host(expected).map(|host| check_connection(expected, host)) {
        return fault;
    }
    let object = format!("device of {}", expected.name);
    let fault = |surface, expected: String, found: String| Fault::own(surface, object.clone(), expected, found);
    let Some(device) = facts.device_of(expected) else {
        return fault(PathSurface::Device, "a device of the tailnet".into(), "none with the recorded node id".into())
            .with_command("run the workflow that created the router again");
    };
    if !device.connected {
        return fault(PathSurface::Device, "a connected device".into(), "a device that is not connected".into());
    }
    let route = format!("a route that covers {destination}");
    let lists = |routes: &[String]| if routes.is_empty() { "none".to_owned() } else { routes.join(", ") };
    if best(&device.advertised, destination).is_none() {
        let found = format!("advertised {}", lists(&device.advertised));
        return fault(PathSurface::AdvertisedRoute, format!("an advertised {}", &route[2..]), found);
    }
    if best(&device.enabled, destination).is_none() {
        let found = format!("advertised {}, approved {}", lists(&device.advertised), lists(&device.enabled));
        return fault(PathSurface::ApprovedRoute, format!("an approved {}", &route[2..]), found);
    }
    match facts.serving(destination) {
        Some(other) => taken(other, destination, &format!("device {}", other.name), expected),
        None => fault(PathSurface::AcceptedRoute, format!("{route} on {}", from.name), "none in force yet".into()),
    }
}

fn taken(device: &DeviceFacts, destination: Ipv4Addr, by: &str, expected: &Machine<'_>) -> Fault {
    let prefix = best(&device.enabled, destination).map(|prefix| prefix.to_string()).unwrap_or_default();
    let state = if device.connected { "" } else { ", which is not connected" };
    let expected = format!("{destination} served by {}", expected.label());
    let found = format!("approved route {prefix} of {by}{state}");
    Fault::own(PathSurface::Device, format!("device {}", device.name), expected, found)
        .with_command("withdraw the approval of that route from the device in the admin console")
}

/// The longest of some routes that contains an address. Default routes are exit nodes.
fn best(routes: &[String], destination: Ipv4Addr) -> Option<Ipv4Net> {
    let prefixes = routes.iter().filter_map(|route| route.parse::<Ipv4Net>().ok());
    prefixes.filter(|prefix| prefix.prefix_len() > 0 && prefix.contains(&destination)).max_by_key(Ipv4Net::prefix_len)
}

impl TraceFacts {
    /// Device that the tailnet sends packets for a destination to: of those with the longest
    /// approved and advertised prefix, a connected one. A device that is not connected keeps
    /// its routes.
    fn serving(&self, destination: Ipv4Addr) -> Option<&DeviceFacts> {
        let serves = |device: &&DeviceFacts| {
            let approved = best(&device.enabled, destination)?;
            let is_advertised = device.advertised.iter().any(|route| route.parse() == Ok(approved));
            is_advertised.then_some((approved.prefix_len(), device.connected))
        };
        self.devices.iter().filter(|device| serves(device).is_some()).max_by_key(serves)
    }

    fn device_of(&self, router: &Machine<'_>) -> Option<&DeviceFacts> {
        let known = self.routers.iter().find(|known| known.name == router.name)?;
        self.devices.iter().find(|device| device.node_id == known.node_id)
    }

    fn router_of(&self, device: &DeviceFacts) -> Option<&str> {
        self.routers.iter().find(|router| router.node_id == device.node_id).map(|router| router.name.as_str())
    }

    /// Router between the tailnet and the site of a machine.
    pub(super) fn router_at(&self, machine: &Machine<'_>) -> Option<Machine<'_>> {
        let role = if machine.site.is_some() { Role::SiteRouter } else { Role::AksRouter };
        self.machines().find(|router| router.role == role && router.is_at_site_of(machine))
    }
}
