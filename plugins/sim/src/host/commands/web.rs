use std::net::Ipv4Addr;

use url::{Host, Url};

use crate::World;
use crate::dataplane::{IpProtocol, PacketSize, Plane, Service};
use crate::host::process::Process;
use crate::kube::{BackendError, DNS, KUBELET_PORT, WebServer, backend, kubelet_at, web_server};

/// Port of the cluster's DNS.
const DNS_PORT: u16 = 53;
/// Names of the API server that the search path of a pod completes, or that are complete.
const API_SERVER: [&str; 4] =
    ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"];
/// Number of bytes that fit into one packet of any path.
const ONE_PACKET: usize = 1200;
/// Port that a request comes from: the first one that Linux chooses.
const CLIENT_PORT: u16 = 32768;

/// Result of an HTTP request to a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// A server answered with this text.
    Page(String),
    /// A server answered with this status, and nothing else.
    Status(u16),
    /// No process listens at the port.
    Refused,
    /// The request or its reply was dropped on its path.
    TimedOut,
    /// The connection was made, and then full packets were dropped.
    Stalled,
    /// The host name does not resolve.
    Unresolved,
}

/// Requests a URL from a pod, by an address of the pod or of a service, with the form field `msg`
/// if there is one.
///
/// The simulated data plane decides whether the packets arrive. A container answers at the ports
/// that its pod declares.
pub(super) fn ask(process: &Process, url: &str, message: Option<&str>) -> Answer {
    let parsed = Url::parse(url).ok().filter(|url| url.scheme() == "http");
    let Some(url) = parsed else { return Answer::Unresolved };
    let address = match url.host() {
        Some(Host::Ipv4(address)) => address,
        Some(Host::Domain("localhost")) => Ipv4Addr::LOCALHOST,
        _ => return Answer::Unresolved,
    };
    let world = process.shared.peek();
    let client = Client::of(&world, &process.host);
    let port = url.port_or_known_default().unwrap_or(80);
    let (to, port) = match client.behind(address, port) {
        Some(Err(answer)) => return answer,
        Some(Ok(backend)) => backend,
        None => (address, port),
    };
    let seen = match client.connect(to, port, PacketSize::Small) {
        Ok(seen) => seen,
        Err(answer) => return answer,
    };
    let to = if to.is_loopback() { client.address.unwrap_or(to) } else { to };
    let Some(server) = web_server(&world.kube, to, port) else { return Answer::Refused };
    let (page, is_large) = page(&server, &url, seen, message);
    if is_large && client.connect(to, port, PacketSize::Full).is_err() {
        return Answer::Stalled;
    }
    page
}

/// Connects to a port by TCP: of a kubelet or a pod, or of the API server by its name.
pub(super) fn connect(process: &Process, host: &str, port: u16) -> Answer {
    let world = process.shared.peek();
    let client = Client::of(&world, &process.host);
    let connected = Answer::Page(String::new());
    let Ok(address) = host.parse::<Ipv4Addr>() else {
        return match client.behind(DNS, DNS_PORT) {
            Some(Ok((server, port))) if client.connect(server, port, PacketSize::Small).is_ok() => {
                // Each node reaches the API server: it would not be ready otherwise.
                if API_SERVER.contains(&host) { connected } else { Answer::Unresolved }
            }
            _ => Answer::Unresolved,
        };
    };
    if let Err(answer) = client.connect(address, port, PacketSize::Small) {
        return answer;
    }
    let listens = if port == KUBELET_PORT {
        kubelet_at(&world.kube, address)
    } else {
        web_server(&world.kube, address, port).is_some()
    };
    if listens { connected } else { Answer::Refused }
}

/// Returns the host and the port of a URL.
pub(super) fn place(url: &str) -> (String, u16) {
    let parsed = Url::parse(url).ok();
    let host = parsed.as_ref().and_then(Url::host_str).unwrap_or(url).to_owned();
    (host, parsed.as_ref().and_then(Url::port_or_known_default).unwrap_or(80))
}

/// Machine or pod that asks.
struct Client<'a> {
    world: &'a World,
    plane: Plane,
    /// Key of the machine, or of the container.
    key: &'a str,
    address: Option<Ipv4Addr>,
}

impl<'a> Client<'a> {
    fn of(world: &'a World, key: &'a str) -> Self {
        Self { world, plane: Plane::of(world), key, address: world.hosts.address_of(key) }
    }

    /// Returns the pod behind a cluster address, or the answer of a service without a pod; `None`
    /// if the address is not that of a service.
    fn behind(&self, address: Ipv4Addr, port: u16) -> Option<Result<(Ipv4Addr, u16), Answer>> {
        let own = self.plane.pods().iter().find(|pod| Some(pod.ip) == self.address);
        let node = own.map(|pod| pod.host.as_str()).unwrap_or_default();
        match backend(&self.world.kube, address, port, node) {
            Ok(backend) => Some(Ok(backend)),
            Err(BackendError::NoService) => None,
            Err(BackendError::NoBackend) => Some(Err(Answer::TimedOut)),
        }
    }

    /// Returns the source address that the other end sees.
    fn connect(&self, to: Ipv4Addr, port: u16, size: PacketSize) -> Result<Ipv4Addr, Answer> {
        let to = if to.is_loopback() { self.address.unwrap_or(to) } else { to };
        if self.address == Some(to) {
            return Ok(to);
        }
        let from = self.address.map_or_else(|| self.key.to_owned(), |own| own.to_string());
        let service = Service { protocol: IpProtocol::Tcp, port };
        match self.plane.request(&from, &to.to_string(), service, size) {
            Ok(Some(seen)) => Ok(seen),
            Ok(None) | Err(_) => Err(Answer::TimedOut),
        }
    }
}

/// Returns the answer of a server, and whether it or the request needs more than one packet.
///
/// `agnhost netexec` answers `/clientip`, `/hostname` and `/echo` as the real one does. Another pod
/// answers with its name and the source address that it saw, and as much as `tests/rig/echo` does.
fn page(server: &WebServer, url: &Url, seen: Ipv4Addr, message: Option<&str>) -> (Answer, bool) {
    if !server.is_agnhost {
        return (Answer::Page(format!("{} {seen}\n", server.hostname)), true);
    }
    let query = url.query_pairs().find(|(key, _)| key == "msg").map(|(_, text)| text.into_owned());
    match url.path() {
        "/clientip" => (Answer::Page(format!("{seen}:{CLIENT_PORT}")), false),
        "/hostname" | "/hostName" => (Answer::Page(server.hostname.clone()), false),
        "/echo" => {
            let text = message.map(str::to_owned).or(query).unwrap_or_default();
            let is_large = text.len() > ONE_PACKET;
            (Answer::Page(text), is_large)
        }
        _ => (Answer::Status(404), false),
    }
}
