//! Simulated cloud-init: applies a machine's user data on its first boot.

mod config;
mod stages;
mod state;

pub(super) use stages::{HOST_KEY, Instance};
pub use state::{CloudInit, Stage};
