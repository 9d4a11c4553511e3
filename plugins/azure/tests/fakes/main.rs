//! The actions against small fakes of ARM on the loopback.

mod fake;

mod actions;
mod calls;
mod machines;
mod networks;
mod operations;
