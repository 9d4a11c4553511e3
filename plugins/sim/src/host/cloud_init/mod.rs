//! Simulated cloud-init: applies a machine's user data on its first boot.

mod config;
mod stages;

pub(super) use stages::{HOST_KEY, Instance};
