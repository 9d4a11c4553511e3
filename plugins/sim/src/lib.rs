//! The simulated world: ARM, the Tailscale API and SSH hosts over one [`World`].

pub mod event;
pub mod host;
pub mod tailnet;
mod world;

pub use world::{Shared, World};
