//! Tailscale actions over its API: wait for a device, list devices, approve routes, mint one-shot
//! auth keys.
//!
//! The API is called as an OAuth client, whose token is cached. A device is identified by its node
//! id, which the machine itself reports (`tailscale status`): host names are not unique in a
//! tailnet.
//!
//! [`register`] is the entry point. `client/` sends requests, `actions/` contains one file per
//! action, `checks/` those of `stargate doctor`.

mod access;
mod actions;
mod auth_key;
mod auth_key_request;
mod checks;
mod client;
mod permission;
mod register;
mod settings;
mod tailnet_target;

pub use register::register;
pub use settings::{TailscaleSettings, TailscaleSettingsError};

#[cfg(feature = "fuzzing")]
pub mod fuzzing;
