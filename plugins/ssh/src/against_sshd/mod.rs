//! The actions against a real sshd on loopback, whose sessions have the test's own programs on
//! their PATH.

mod programs;
mod server;

mod actions;
mod connection;
mod convergence;
mod program_run;
mod reads;
