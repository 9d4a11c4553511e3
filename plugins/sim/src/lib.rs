//! The simulated world: ARM, the Tailscale API and SSH hosts over one [`World`].

pub mod event;
mod world;

pub use world::{Shared, World};
