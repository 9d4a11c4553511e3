//! Connections to hosts: one master connection each, commands, their quoting and their output.

mod command;
mod command_output;
mod connect_failure;
mod connection;
mod login;
mod marker;
mod master;
mod output_stream;
mod pool;
mod quote;
mod remote;
mod ssh_config;
mod state_dir;

pub use login::login_command;

pub(crate) use command::RemoteCommand;
pub(crate) use command_output::{CommandOutput, NOT_INSTALLED, SUDO_DENIED};
#[cfg(test)]
pub(crate) use connect_failure::HOST_KEY;
pub(crate) use connect_failure::PERMISSION_DENIED;
pub(crate) use pool::ConnectionPool;
pub(crate) use remote::Remote;
