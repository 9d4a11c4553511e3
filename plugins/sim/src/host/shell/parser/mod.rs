//! Parser of the shell: turns the text of a script into commands, one line at a time.

mod command;
mod cursor;
mod expansion;
mod redirect;
mod script;
mod word;

pub(super) use script::ScriptLines;
#[cfg(feature = "fuzzing")]
pub(crate) use script::check_any_script;
pub(in crate::host) use script::parse;
