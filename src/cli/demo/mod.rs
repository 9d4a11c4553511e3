//! What `stargate demo` plays with: a world in a process of its own, and the program that acts in it.

mod command_line;
mod environment;
pub(super) mod inputs;
mod sim_process;

pub(super) use environment::DemoEnvironment;
