//! Programs of the simulated machines.
//!
//! Each prints the same text as the real program and exits with the same status. Only the options
//! that the product and the tests use are simulated; others are ignored or refused, as the
//! documentation of each program says.
//!
//! A program that changes the machine counts the change, so that tests can tell a read from a
//! write.

mod agnhost;
mod apt;
mod cloud_init;
mod curl;
mod execute;
mod file;
mod identity;
mod ip;
mod iptables;
mod journalctl;
mod network;
mod nft;
mod nft_listing;
mod nft_script;
mod openssl;
mod options;
mod sysctl;
mod systemctl;
mod tailscale;
mod text;
mod web;
mod wget;

pub(super) use execute::execute;
pub(super) use systemctl::start_unit;
