//! The simulated world over its sockets, against what the specifications and recordings say.
#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod aks_nodes;
mod callers;
mod captured;
mod control;
mod credentials;
mod deployments;
mod events;
mod exposure;
mod faults;
mod harness;
mod limits;
mod machines;
mod networks;
mod operations;
mod paths;
mod persistence;
mod properties;
mod rules;
mod scale;

#[path = "../support/hang_guard.rs"]
mod hang_guard;
