//! Builtins of the shell.

mod call;
mod directory;
mod echo;
mod lookup;
mod read;
mod set;
mod variables;

pub(super) use call::is_special;
