//! The simulated tailnet: Tailscale's API and what the machines see of it.

mod state;

pub use state::Tailnet;
