//! Host actions over the system `ssh`.
//!
//! A host is reached through one master connection, whose host key is pinned by the input. An
//! action consists of a few typed operations, and each of these of a few programs that are run with
//! arguments: read, compare, write the difference, read again. There are no scripts; content
//! travels on standard input.
//!
//! * Arguments are quoted in one place (`client/quote.rs`).
//! * Each command prints its exit code on a last line of its own (`client/marker.rs`). Without that
//!   line the connection was lost, and the outcome of a command that changes something is unknown.
//! * The user's `ssh_config` is honoured. The fixed settings of this crate (keys, batch mode,
//!   timeouts) precede it.
//!
//! [`register`] is the entry point. `client/` connects and runs commands, `operations/` contains
//! typed operations, `actions/` one file per action, `checks/` those of `stargate doctor`.

mod actions;
mod checks;
mod client;
mod host;
mod operations;
mod register;
mod settings;

pub use client::login_command;
pub use host::{JumpHost, SshHost};
pub use register::register;
pub use settings::{SshSettings, SshSettingsError};

#[cfg(test)]
mod against_sshd;

#[cfg(feature = "fuzzing")]
pub mod fuzzing;
