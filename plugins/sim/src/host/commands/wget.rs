use super::options::CommandOptions;
use super::web::{self, Answer};
use crate::host::io::Io;
use crate::host::process::{Exit, Process};

/// Runs busybox's command `wget [-q] [-T SECONDS] [-O FILE] URL`.
pub(super) fn wget(process: &mut Process, io: &Io, arguments: &[String]) -> Exit {
    let options = CommandOptions::parse(arguments, "OTPYU", &["output-document", "timeout", "header", "post-data"]);
    let Some(url) = options.rest.first() else {
        return process.fail(
            io,
            1,
            "BusyBox v1.37.0 multi-call binary.\n\nUsage: wget [-cqS] [--spider] [-O FILE] URL...",
        );
    };
    let url = if url.contains("://") { url.clone() } else { format!("http://{url}") };
    let (host, port) = web::place(&url);
    if !options.has("q", "quiet") {
        process.fail(io, 0, format!("Connecting to {host}:{port} ({host}:{port})"))?;
    }
    match web::ask(process, &url, None) {
        Answer::Page(page) => save(process, io, &options, &url, &page),
        Answer::Refused => {
            process.fail(io, 1, format!("wget: can't connect to remote host ({host}): Connection refused"))
        }
        Answer::Status(status) => process.fail(io, 1, format!("wget: server returned error: HTTP/1.1 {status}")),
        Answer::TimedOut | Answer::Stalled => process.fail(io, 1, "wget: download timed out"),
        Answer::Unresolved => process.fail(io, 1, format!("wget: bad address '{host}'")),
    }
}

/// Writes a page to the file of `-O`, or to the name at the end of the URL.
///
/// The file is not counted as a write.
fn save(process: &Process, io: &Io, options: &CommandOptions, url: &str, page: &str) -> Exit {
    if options.has("", "spider") {
        return Ok(0);
    }
    let last = url.rsplit('/').next().unwrap_or_default();
    let named = if last.is_empty() || url.matches('/').count() < 3 { "index.html" } else { last };
    let file = options.value('O', "output-document").unwrap_or(named);
    if file == "-" {
        process.print(io, page)?;
        return Ok(0);
    }
    let (path, mode) = (process.path(file), 0o666 & !process.umask);
    let actor = process.actor.clone();
    let written = process.with(|place| place.machine.write_file(&actor, &path, page.as_bytes(), false, mode))?;
    match written {
        Ok(()) => Ok(0),
        Err(errno) => process.fail(io, 1, format!("wget: can't open '{file}': {errno}")),
    }
}
