//! The simulated cluster, against stock `kubectl` and what real API servers were seen to answer.
#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod authorization;
mod captured;
mod definitions;
mod evictions;
mod exec;
mod field_validation;
mod harness;
mod jobs;
mod kubectl;
mod kubelets;
mod leases;
mod machines;

#[path = "../support/hang_guard.rs"]
mod hang_guard;
