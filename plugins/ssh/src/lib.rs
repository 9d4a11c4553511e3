//! Host actions over the system `ssh`.
//!
//! A host is reached through one master connection, whose host key is pinned by the input. What is done to it is one of a
//! few typed operations, each a handful of programs run with arguments: read, compare, change the difference, read back.
//! There are no scripts; content travels on standard input.
//!
//! * Arguments are quoted in one place (`quote.rs`).
//! * Every command reports its exit code on a last line of its own (`marker.rs`): without that line the connection was
//!   lost, and a command that changes something may or may not have.
//! * The user's `ssh_config` is honoured; what stargate insists on (keys, batch mode, timeouts) comes before it.

mod actions;
mod checks;
mod command;
mod connect_failure;
mod connection;
mod host;
mod marker;
mod operations;
mod outcome;
mod pause;
mod pool;
mod quote;
mod register;
mod remote;
mod settings;
mod ssh_config;
mod state_dir;
mod template;

pub use actions::{
    BinaryOutput, CertificateInput, CertificateOutput, ClampOutput, CloudInitInput, CloudInitOutput, DesiredBinary,
    DesiredClamp, DesiredDirectory, DesiredFile, DesiredLink, DesiredPackages, DesiredPreferences, DesiredRoutes,
    DesiredSettings, DesiredUnit, DirectoryOutput, FileOutput, IdentityInput, IdentityOutput, KernelSettings,
    LinkOutput, PackageSpec, PackagesOutput, PlacedRoute, Preferences, PreflightInput, PreflightOutput, ReachableInput,
    ReachableOutput, RemovedFile, RouteSpec, RoutesInForceInput, RoutesInForceOutput, RoutesOutput, UnitOutput,
    UnwantedFile,
};
pub use host::{Host, Via};
pub use register::register;
pub use settings::{SettingsError, SshSettings};

#[cfg(test)]
mod against_sshd;
