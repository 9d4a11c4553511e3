//! What becomes of a packet, given the state of every surface.
//!
//! Its ends are the pods that run in the simulated cluster, on the machines that their nodes are. Pods of a world without a
//! cluster are named in [`World::pods`](crate::World::pods).
//!
//! [`Plane::of`] takes what is in force in a [`World`](crate::World): subnets' effective routes, NIC flags and security groups,
//! hosts' kernel routes and settings, the tailnet's routes. [`Plane::path`] walks a request and its reply through it, hop by hop,
//! and says where a packet dies and why. They are packets of a TCP connection whose ends send as much at once as they may. The
//! tailnet's policy is not looked at, nor how the tunnel's own packets pass security groups: where nothing else passes, they leave
//! by HTTPS.

mod azure_fabric;
mod conntrack;
mod host;
mod matrix;
mod matrix_text;
mod path;
mod path_mtu;
mod plane;
mod pod_range;
mod pods;
mod segment;
mod trace;
mod tracer;
mod tunnel;
mod tunnel_path;
mod unmanaged_pod;

pub use matrix::{MatrixCell, ReachabilityMatrix};
pub use path::{DropCause, Endpoint, PacketDrop, PathTrace, RequestPath, TraceHop, UnknownEndpoint};
pub use plane::Plane;
pub(crate) use pods::pod_name;
pub use trace::reach;
pub use unmanaged_pod::UnmanagedPod;

pub use crate::arm::{Protocol, Service};
