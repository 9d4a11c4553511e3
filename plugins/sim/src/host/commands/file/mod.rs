//! Programs that handle files and directories.

mod access;
mod copy;
mod create;
mod list;
mod permissions;
mod program;
mod remove;
mod stream;

pub(super) use access::contents;
pub(super) use program::run;
