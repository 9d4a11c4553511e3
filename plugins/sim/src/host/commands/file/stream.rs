use super::access::{change, contents};
use crate::host::commands::options::CommandOptions;
use crate::host::io::Io;
use crate::host::process::{Exit, Process};

/// Runs the verb `cat [FILE]…`; without a file it copies its input.
pub(super) fn cat(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let options = CommandOptions::parse(arguments, "", &[]);
    let files = if options.rest.is_empty() { vec!["-".to_owned()] } else { options.rest };
    let mut status = 0;
    for file in files {
        match contents(process, io, &file)? {
            Ok(bytes) => process.print(io, bytes)?,
            Err(error) => status = process.fail(io, 1, format!("cat: {file}: {error}"))?,
        }
    }
    Ok(status)
}

/// Runs the command `dd [if=FILE] [of=FILE] [conv=…] [status=none]`.
///
/// Copies the whole input; block sizes and counts are not simulated.
pub(super) fn dd(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let operand = |name: &str| arguments.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    let source = operand("if").unwrap_or("-");
    let bytes = match contents(process, io, source)? {
        Ok(bytes) => bytes,
        Err(error) => return process.fail(io, 1, format!("dd: failed to open '{source}': {error}")),
    };
    let count = bytes.len();
    match operand("of") {
        None => process.print(io, bytes)?,
        Some(target) => {
            let (path, mode) = (process.path(target), 0o666 & !process.umask);
            let written = change(process, |place, actor| place.machine.write_file(actor, &path, &bytes, false, mode))?;
            if let Err(error) = written {
                return process.fail(io, 1, format!("dd: failed to open '{target}': {error}"));
            }
        }
    }
    match operand("status") {
        Some("none") => Ok(0),
        _ => process.fail(io, 0, format!("0+1 records in\n0+1 records out\n{count} bytes copied")),
    }
}

/// Runs the command `tee [-a] FILE…`, which copies its input to its output and to each file.
pub(super) fn tee(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let options = CommandOptions::parse(arguments, "", &[]);
    let bytes = io.input.read();
    let mut status = 0;
    for file in &options.rest {
        let path = process.path(file);
        let (append, mode) = (options.has("a", "append"), 0o666 & !process.umask);
        let written = change(process, |place, actor| place.machine.write_file(actor, &path, &bytes, append, mode))?;
        if let Err(error) = written {
            status = process.fail(io, 1, format!("tee: {file}: {error}"))?;
        }
    }
    process.print(io, bytes)?;
    Ok(status)
}
