//! The actions against a real sshd on loopback, with programs of the test's own on the PATH of its sessions.

mod programs;
mod server;

mod actions;
mod connection;
mod looking;
mod typed;
