use super::condition::{bracket, test};
use super::filter::filter;
use super::grep::grep;
use super::printf::{echo, printf};
use crate::host::io::Io;
use crate::host::process::{Exit, Process};
use crate::host::state::{base_name, parent};

/// Runs one of the programs that print, test or filter text.
pub(in crate::host::commands) fn run(process: &mut Process, io: &Io, name: &str, arguments: &[String]) -> Exit {
    match name {
        "true" => Ok(0),
        "false" => Ok(1),
        "echo" => echo(process, io, arguments),
        "printf" => printf(process, io, arguments),
        "test" => test(process, io, arguments),
        "[" => bracket(process, io, arguments),
        "grep" => grep(process, io, arguments),
        "basename" => named(process, io, arguments, base_name),
        "dirname" => named(process, io, arguments, |path| if path.contains('/') { parent(path) } else { "." }),
        _ => filter(process, io, name, arguments),
    }
}

/// Runs the command `basename` or `dirname`; `part` selects the component of the path.
///
/// A suffix argument is not simulated.
fn named(process: &Process, io: &Io, arguments: &[String], part: fn(&str) -> &str) -> Exit {
    let path = arguments.first().map(String::as_str).unwrap_or_default();
    process.print(io, format!("{}\n", part(path.trim_end_matches('/'))))?;
    Ok(0)
}
