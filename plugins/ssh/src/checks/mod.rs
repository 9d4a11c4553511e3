//! The checks of `stargate doctor`, one per file.

mod ssh_client;
mod ssh_config;

pub(crate) use ssh_client::SshClientCheck;
pub(crate) use ssh_config::SshConfigCheck;
