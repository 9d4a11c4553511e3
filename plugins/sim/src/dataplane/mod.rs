//! Paths of packets, given the state of every surface.
//!
//! Endpoints are the pods that run in the simulated cluster, on the machines of their nodes. Pods
//! of a world without a cluster are listed in [`World::pods`](crate::World::pods).
//!
//! [`Plane::of`] collects what is in force in a [`World`](crate::World): effective routes of
//! subnets, NIC flags, security groups, kernel routes and settings of hosts, routes of the tailnet.
//! [`Plane::path`] traces a request and its reply through it, hop by hop, and reports where a
//! packet is dropped and why. The packets belong to a TCP connection whose ends send as much at a
//! time as they may.
//!
//! Security groups do not affect the packets of the tunnel itself: where nothing else passes, they
//! leave by HTTPS.

mod azure_fabric;
mod conntrack;
mod host;
mod masquerade;
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

pub use matrix::{MatrixCell, PathMatrix};
pub use path::{DropCause, Endpoint, PacketDrop, PathTrace, RequestPath, TraceHop, UnknownEndpoint};
pub use plane::Plane;
pub(crate) use pods::pod_name;
pub(crate) use trace::PacketSize;
pub use trace::reach;
pub use unmanaged_pod::UnmanagedPod;

pub use crate::arm::{IpProtocol, Service};
