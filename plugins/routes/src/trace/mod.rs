//! Walk of a packet through the actual state of all surfaces, there and back.
//!
//! The rules are those of Azure, of the Linux kernel and of the tailnet; the simulator's data plane
//! has its own, and shares no code with these.

mod access;
mod action;
mod cilium;
mod fabric;
mod facts;
mod kernel;
mod machines;
mod pod;
mod report;
mod tunnel;
mod walk;

pub use access::TracedAccess;
pub(crate) use action::TraceAction;
pub use cilium::{CiliumMasquerade, CiliumSettings, TracedCilium, TracedCiliumNode};
pub use facts::{
    FirewallDrop, HostRoute, HostTailscale, PolicyDenial, TraceEnd, TraceFacts, TracedHost, TracedPolicies,
    TracedRouter,
};
pub use report::{PathDeviation, PathFault, PathSurface, PathTrace, TraceVerdict, TracedHop};
pub use walk::trace;
