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

mod azure;
mod group;
mod host;
mod link;
mod matrix;
mod path;
mod place;
mod plane;
mod pod;
mod range;
mod room;
mod table;
mod tunnel;
mod walk;

pub use matrix::{Cell, Matrix};
pub use path::{Cause, Death, Endpoint, Hop, Path, Trip, UnknownEndpoint};
pub(crate) use place::called;
pub use plane::{Plane, reach};
pub use pod::Pod;

pub use crate::arm::{Protocol, Service};
