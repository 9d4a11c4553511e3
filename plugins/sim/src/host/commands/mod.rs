//! The programs of the simulated machines. Each prints what the real one prints, with its exit status.

mod apt;
mod cloud_init;
mod curl;
mod file;
mod identity;
mod ip;
mod journalctl;
mod network;
mod nft;
mod nft_script;
mod openssl;
mod options;
mod run;
mod sysctl;
mod systemctl;
mod tailscale;
mod text;
mod web;
mod wget;

pub(super) use run::{Ran, run};
pub(super) use systemctl::start_unit;
