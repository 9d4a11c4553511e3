//! Operation of the machines: follows the events of the world, boots machines and answers SSH.

mod boot;
mod client_config;
mod connection;
mod follow;
mod machine_task;
mod runtime;
mod session;
mod silent_port;
mod terminal;
#[cfg(test)]
mod tests;

pub use follow::{HostError, HostOptions, HostServer, serve};
pub use session::Output;

pub(super) use session::converse;
pub(super) use terminal::Terminal;
