//! Shell of the simulated machines: the part of POSIX `sh` that scripts over SSH need.

mod arithmetic;
mod expand;
mod grammar;
mod interpreter;
mod parser;
mod pattern;
#[cfg(test)]
mod tests;

pub(super) use interpreter::{Dialect, Shell};
pub(super) use parser::parse;
pub(super) use pattern::matches;
