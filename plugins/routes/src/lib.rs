//! Who should be able to reach whom, as the desired entries of every surface.
//!
//! Pure: no I/O, no clock. [`compute`] turns [`Facts`] into [`Desired`] once, so that the surfaces cannot disagree, and refuses
//! facts whose prefixes clash. [`allocate`] hands out pod blocks.

mod action;
mod addresses;
mod allocate;
mod claims;
mod compute;
mod conflict;
mod desired;
mod facts;
mod overlap;
mod register;

pub use allocate::{Allocated, AllocationError, Pool, allocate};
pub use compute::compute;
pub use conflict::{Conflict, Conflicts};
pub use desired::{Advertised, CiliumNode, CloudRoute, Desired, Forwarding, KernelRoute, Segment};
pub use facts::{AksSite, Datacenter, Fabric, Facts, Node, OtherPrefix, Router, Strategy};
pub use register::register;
