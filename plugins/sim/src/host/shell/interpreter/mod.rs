//! Interpreter of the shell: runs parsed commands on a machine.

mod compound;
mod list;
mod redirect;
mod shell;
mod simple;

pub(in crate::host) use shell::{Dialect, Shell};
pub(super) use shell::{Flow, Run};
