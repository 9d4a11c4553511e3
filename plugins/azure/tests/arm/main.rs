//! Tests of the actions against a small fake of ARM on the loopback, and against the simulated
//! world.

mod fake;

mod actions;
mod calls;
mod datacenter;
mod machines;
mod networks;
mod operations;
mod simulated;
