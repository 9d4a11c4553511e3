use std::net::Ipv4Addr;

use serde::Serialize;

/// Where a packet can come from and go to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// Name of the pod or the machine. A pod outside the namespace `default` is called `namespace/name`.
    pub name: String,
    /// Name of the machine.
    pub host: String,
    /// Its address.
    pub ip: Ipv4Addr,
    /// `AKS`, or `DC` and the name of the virtual network; empty for a pod whose node has no machine.
    pub site: String,
}

/// What became of a request and of the reply to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RequestPath {
    /// Who asks.
    pub from: Endpoint,
    /// Who answers.
    pub to: Endpoint,
    /// Whether the reply came back.
    pub ok: bool,
    /// Whether who answers saw the address of who asks.
    pub source_kept: bool,
    /// The request's way.
    pub request: PathTrace,
    /// The reply's way, if the request arrived.
    pub reply: Option<PathTrace>,
}

/// One packet's way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PathTrace {
    /// Every step of it.
    pub hops: Vec<TraceHop>,
    /// Where it ended, if not at its destination.
    pub died: Option<PacketDrop>,
}

/// A step of a packet's way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TraceHop {
    /// The machine, the subnet or the tailnet.
    pub at: String,
    /// What happened there.
    pub what: String,
}

/// The end of a packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PacketDrop {
    /// The machine, the subnet or the tailnet.
    pub at: String,
    /// Which surface to look at.
    pub cause: DropCause,
    /// What happened, in words.
    pub why: String,
}

/// Which surface ended a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DropCause {
    /// The kernel has no route, or one that drops.
    KernelRoute,
    /// The kernel does not forward.
    KernelForwarding,
    /// The kernel's reverse path filter is strict and the way back is another.
    ReversePath,
    /// A full packet does not fit into an interface on its way, and nothing has told TCP so.
    PacketSize,
    /// The router's tailscaled lets nobody behind it begin a connection.
    StatefulFiltering,
    /// The NIC is not allowed to carry packets of others.
    NicForwarding,
    /// The subnet's route table has no route for it, or one that drops.
    CloudRoute,
    /// No route table is associated with the subnet.
    Association,
    /// A rule of a security group, of the NIC or of the subnet, drops it.
    SecurityGroup,
    /// Nobody has the address, or nobody behind it runs.
    Nobody,
    /// A route of the tailnet is approved but its router does not advertise it.
    NotAdvertised,
    /// A route of the tailnet is advertised but not approved.
    NotApproved,
    /// The machine does not accept routes of the tailnet.
    NotAccepted,
    /// The device that the tailnet chose is offline.
    DeviceOffline,
    /// The tailnet has no peer for the destination.
    NoPeer,
    /// The tunnel drops a source that is not among the sending peer's routes.
    ForeignSource,
    /// A broader route of the tailnet takes what is to be delivered here.
    Captured,
    /// The node gives its pods other addresses than those that are looked for there.
    PodRange,
    /// The machine is off, or has not booted yet.
    MachineOff,
    /// It went round until its time to live was over.
    Loop,
}

/// There is no pod, machine or address of that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no pod or machine is called or has the address {0:?}")]
pub struct UnknownEndpoint(pub String);

impl RequestPath {
    /// The packet's end, the request's or the reply's.
    pub fn died(&self) -> Option<&PacketDrop> {
        self.request.died.as_ref().or_else(|| self.reply.as_ref()?.died.as_ref())
    }
}

impl PacketDrop {
    pub(super) fn new(at: &str, cause: DropCause, why: impl Into<String>) -> Self {
        Self { at: at.to_owned(), cause, why: why.into() }
    }
}
