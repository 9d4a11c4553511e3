//! The simulated world: ARM, the Tailscale API and SSH hosts over one [`World`].
//!
//! It is the judge of the product, so it shares no code with it: it behaves as the specifications and recordings of the
//! real services say. [`start`] opens it on loopback; `az`, the Azure SDKs, `curl` and `ssh` work against it.

mod arm;
mod control;
pub mod dataplane;
mod drift;
pub mod event;
mod faults;
mod holds;
pub mod host;
mod instructions;
pub mod kube;
mod listen;
mod login;
mod mirror;
mod scenario;
mod server;
mod state;
pub mod tailnet;
mod tls;
mod traffic;
mod world;

pub use arm::Arm;
pub use faults::{Fault, Faults, Rule, Schedule};
pub use holds::Holds;
pub use instructions::instructions;
pub use scenario::Scenario;
pub use server::{Sim, SimError, SimOptions, start};
pub use traffic::{Counters, LoggedRequest, Surface, Traffic, host_write};
pub use world::{Shared, World};
