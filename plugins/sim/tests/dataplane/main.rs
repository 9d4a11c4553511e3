//! Paths of packets in the simulated world; and a proof that the desired routes are exactly those
//! that are needed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod bench;
mod broken;
mod deployment;
mod entries;
mod guards;
mod needed;
mod network;
mod pods;
mod states;
mod ways;

#[path = "../support/hang_guard.rs"]
mod hang_guard;
