//! cloud-init: what a machine's user data makes of it on its first boot.

mod config;
mod stages;
mod state;

pub(super) use stages::{HOST_KEY, Instance};
pub use state::{CloudInit, Stage};
