//! Simulated Debian machines that stock `ssh` works against.

mod hosts;

pub use hosts::Hosts;
