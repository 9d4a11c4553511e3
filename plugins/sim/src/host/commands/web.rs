use std::net::Ipv4Addr;

use url::{Host, Url};

use crate::World;
use crate::dataplane::{IpProtocol, Plane, Service};
use crate::host::process::Process;
use crate::kube::web_server;

/// Result of an HTTP request to a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// A server answered with this text.
    Page(String),
    /// No process listens at the port.
    Refused,
    /// The request or its reply was dropped on its path.
    TimedOut,
    /// The host name does not resolve.
    Unresolved,
}

/// Requests a URL from a pod, by the pod's address.
///
/// The simulated data plane decides whether the packets arrive. A container answers at the ports
/// that its pod declares.
pub(super) fn ask(process: &Process, url: &str) -> Answer {
    let parsed = Url::parse(url).ok().filter(|url| url.scheme() == "http");
    let Some(url) = parsed else { return Answer::Unresolved };
    let address = match url.host() {
        Some(Host::Ipv4(address)) => address,
        Some(Host::Domain("localhost")) => Ipv4Addr::LOCALHOST,
        _ => return Answer::Unresolved,
    };
    reached(&process.shared.peek(), &process.host, address, url.port_or_known_default().unwrap_or(80))
}

/// Returns the host and the port of a URL.
pub(super) fn place(url: &str) -> (String, u16) {
    let parsed = Url::parse(url).ok();
    let host = parsed.as_ref().and_then(Url::host_str).unwrap_or(url).to_owned();
    (host, parsed.as_ref().and_then(Url::port_or_known_default).unwrap_or(80))
}

/// Returns the page of the server at an address.
///
/// A pod answers with its name and the source address that it saw, as `tests/rig/echo` does.
fn reached(world: &World, from: &str, to: Ipv4Addr, port: u16) -> Answer {
    let own = world.hosts.address_of(from);
    let to = if to.is_loopback() { own.unwrap_or(to) } else { to };
    let seen = if own == Some(to) {
        to
    } else {
        let from = own.map_or_else(|| from.to_owned(), |own| own.to_string());
        let service = Service { protocol: IpProtocol::Tcp, port };
        match Plane::of(world).request(&from, &to.to_string(), service) {
            Ok(Some(seen)) => seen,
            Ok(None) | Err(_) => return Answer::TimedOut,
        }
    };
    match web_server(&world.kube, to, port) {
        Some(name) => Answer::Page(format!("{name} {seen}\n")),
        None => Answer::Refused,
    }
}
