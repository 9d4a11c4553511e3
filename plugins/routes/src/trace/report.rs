use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Workflow that repairs the surfaces of the deployment.
pub(super) const SYNC: &str = "stargate run workflow sync-pod-routes";

/// Result of a trace in both directions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PathTrace {
    /// End that sends the request.
    pub from: String,
    /// End that answers.
    pub to: String,
    /// Verdict about request and reply.
    pub verdict: TraceVerdict,
    /// Hops of the request.
    pub request: Vec<TracedHop>,
    /// Hops of the reply; empty if the request does not arrive.
    pub reply: Vec<TracedHop>,
    /// First place at which a packet is dropped; `null` if there is none.
    pub fault: Option<PathFault>,
    /// Surfaces of the path that could not be read, each with the reason.
    pub unread: Vec<String>,
    /// Objects of the path that differ from the deployment and drop no packets.
    #[serde(default)]
    pub deviations: Vec<PathDeviation>,
}

/// Verdict of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TraceVerdict {
    /// Request and reply pass all surfaces.
    Passes,
    /// A surface drops one of them.
    Blocked,
    /// A surface could not be read, and all others let them pass.
    Unknown,
}

/// Machine, or network between machines, that a packet passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TracedHop {
    /// Name of the machine or network.
    pub at: String,
    /// Description of the step that the packet takes there.
    pub text: String,
}

/// Surface that a packet crosses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PathSurface {
    /// Rule of a security group.
    SecurityRule,
    /// Route table of a subnet, or its association.
    RouteTable,
    /// IP forwarding of an interface in Azure.
    InterfaceForwarding,
    /// IP forwarding of a kernel.
    KernelForwarding,
    /// Route of a kernel.
    KernelRoute,
    /// Reverse path filter of a kernel.
    PathFilter,
    /// Firewall of a host.
    Firewall,
    /// Clamp of TCP's segments.
    SegmentClamp,
    /// tailscaled and its preferences.
    Tailscaled,
    /// Device of the tailnet.
    Device,
    /// Route that a router has to advertise.
    AdvertisedRoute,
    /// Route that has to be approved.
    ApprovedRoute,
    /// Route that another router has to accept.
    AcceptedRoute,
    /// Network policies of the cluster.
    NetworkPolicy,
    /// Prefix of the pods of a machine.
    PodCidr,
    /// Settings of Cilium's agents.
    Cilium,
    /// Access rules of the tailnet.
    AccessRule,
}

/// Object that differs from the deployment and drops no packets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PathDeviation {
    /// Object that differs.
    pub object: String,
    /// State that the deployment needs.
    pub expected: String,
    /// Actual state of the object.
    pub found: String,
    /// Command that repairs it, or what to do.
    pub command: String,
}

/// Place at which a packet is dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PathFault {
    /// True if the reply is dropped, false if the request is.
    pub of_reply: bool,
    /// Number of the hop, from 1.
    pub hop: usize,
    /// Name of the machine or network.
    pub at: String,
    /// Surface that drops it.
    pub surface: PathSurface,
    /// Object that has to change.
    pub object: String,
    /// State that would let the packet pass.
    pub expected: String,
    /// Actual state of the object.
    pub found: String,
    /// Command that repairs it, or what to do.
    pub command: String,
}

/// Fault without the hop that it is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) surface: PathSurface,
    pub(super) object: String,
    pub(super) expected: String,
    pub(super) found: String,
    pub(super) command: String,
}

impl Fault {
    /// Fault of the deployment's own, which a synchronization repairs.
    pub(super) fn own(
        surface: PathSurface,
        object: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self {
            surface,
            object: object.into(),
            expected: expected.into(),
            found: found.into(),
            command: format!("`{SYNC}` repairs it"),
        }
    }

    /// Replaces the command.
    pub(super) fn with_command(self, command: impl Into<String>) -> Self {
        Self { command: command.into(), ..self }
    }
}

impl fmt::Display for PathFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { of_reply, hop, at, object, expected, found, command, .. } = self;
        let packet = if *of_reply { "reply" } else { "request" };
        write!(f, "{packet}, hop {hop}: {at}: {object}: expected {expected}, found {found}; {command}")
    }
}
