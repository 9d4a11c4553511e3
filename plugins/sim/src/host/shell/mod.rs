//! Shell of the simulated machines: POSIX `sh`, with the messages of dash or bash.
//!
//! The commands of a pipeline run one after the other, each with the complete output of the one
//! before it. A background command runs to its end before the next command starts. A construct that
//! is not simulated ends the script with a message and exit status 2.

mod arithmetic;
mod builtins;
mod expand;
mod grammar;
mod interpreter;
mod parser;
mod pattern;
#[cfg(test)]
mod tests;
mod variables;

pub(super) use interpreter::{Dialect, Shell};
#[cfg(feature = "fuzzing")]
pub(crate) use parser::check_any_script;
pub(super) use parser::parse;
pub(super) use pattern::matches;
