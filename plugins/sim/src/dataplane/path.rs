use std::net::Ipv4Addr;

use serde::Serialize;

/// End of a path: a pod or a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// Name of the pod or the machine. A pod outside the namespace `default` is called
    /// `namespace/name`.
    pub name: String,
    /// Name of the machine.
    pub host: String,
    /// Address of the endpoint.
    pub ip: Ipv4Addr,
    /// `AKS`, or `DC` and the name of the virtual network; empty for a pod whose node has no
    /// machine.
    pub site: String,
}

/// Trace of a request and of the reply to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RequestPath {
    /// Endpoint that sends the request.
    pub from: Endpoint,
    /// Endpoint that answers.
    pub to: Endpoint,
    /// True if the reply came back.
    pub ok: bool,
    /// True if the answering end saw the sender's own address.
    pub source_kept: bool,
    /// Trace of the request.
    pub request: PathTrace,
    /// Trace of the reply; `None` if the request was dropped.
    pub reply: Option<PathTrace>,
}

/// Hops of one packet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PathTrace {
    /// Hops in order; empty if none are recorded.
    pub hops: Vec<TraceHop>,
    /// Place and reason of the drop; `None` if the packet arrived.
    pub died: Option<PacketDrop>,
}

/// One hop of a packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TraceHop {
    /// The machine, the subnet or the tailnet.
    pub at: String,
    /// Event at the hop, in words.
    pub what: String,
}

/// Drop of a packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PacketDrop {
    /// The machine, the subnet or the tailnet.
    pub at: String,
    /// Surface whose entry is missing or wrong.
    pub cause: DropCause,
    /// Reason for the drop, in words.
    pub why: String,
}

/// Surface that dropped a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DropCause {
    /// The kernel has no route for it, or one that drops it.
    KernelRoute,
    /// The kernel does not forward.
    KernelForwarding,
    /// A chain of the host's packet filter (nftables, iptables) drops forwarded packets.
    ForwardFilter,
    /// The network policies of the cluster that isolate a pod do not admit the connection.
    NetworkPolicy,
    /// The reverse path filter of the kernel is strict and the route back uses another interface.
    ReversePath,
    /// A full packet does not fit into an interface on the path, and no clamp has limited the
    /// segment size.
    PacketSize,
    /// The stateful filter of the router's tailscaled admits no new connections from behind it.
    StatefulFiltering,
    /// The NIC may not carry packets of others.
    NicForwarding,
    /// The subnet's route table has no route for it, or one that drops.
    CloudRoute,
    /// No route table is associated with the subnet.
    Association,
    /// A rule of a security group, of the NIC or of the subnet, drops it.
    SecurityGroup,
    /// No machine has the address, or the machine behind it does not run.
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
    /// The access rules of the tailnet do not admit the connection.
    AccessRule,
    /// A broader route of the tailnet captures a packet for this side.
    Captured,
    /// The node has another pod CIDR than its pods' addresses or the routes to it assume.
    PodRange,
    /// The machine is off, or has not booted yet.
    MachineOff,
    /// The packet was in a loop until its time to live expired.
    Loop,
}

/// No pod or machine has this name or address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no pod or machine is called or has the address {0:?}")]
pub struct UnknownEndpoint(pub String);

impl RequestPath {
    /// Returns the drop of the request or of the reply.
    pub fn died(&self) -> Option<&PacketDrop> {
        self.request.died.as_ref().or_else(|| self.reply.as_ref()?.died.as_ref())
    }
}

impl PacketDrop {
    pub(super) fn new(at: &str, cause: DropCause, why: impl Into<String>) -> Self {
        Self { at: at.to_owned(), cause, why: why.into() }
    }
}
