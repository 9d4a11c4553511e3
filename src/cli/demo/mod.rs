//! Environment of `stargate demo`: a simulated world in its own process, and commands of the
//! program that run in it.

mod command_line;
mod environment;
pub(super) mod inputs;
mod sim_process;

pub(super) use environment::DemoEnvironment;
