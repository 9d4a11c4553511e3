#![doc = include_str!("../README.md")]

mod arm;
mod callers;
mod control;
pub mod dataplane;
mod drift;
pub mod event;
mod faults;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod host;
mod instructions;
mod intercept;
pub mod kube;
mod listen;
mod login;
mod mask;
mod mirror;
mod paused_requests;
mod saves;
mod scenario;
mod server;
mod state;
mod surface;
pub mod tailnet;
mod tls;
mod traffic;
mod world;

pub use arm::Arm;
pub use faults::{Fault, Faults, Rule, Schedule};
pub use instructions::instructions;
pub use paused_requests::{PausedRequest, PausedRequests};
pub use scenario::Scenario;
pub use server::{Sim, SimError, SimOptions, start};
pub use surface::Surface;
pub use traffic::{Counters, LoggedRequest, Traffic};
pub use world::{Ports, Shared, World};
