use super::web::{self, Answer};
use crate::host::io::Io;
use crate::host::process::{Exit, Process};

/// Runs the command `agnhost connect HOST:PORT [--timeout=DURATION]` of the test image of the
/// Kubernetes project.
///
/// Prints the class of the error on standard error, and exits with 1 for each of them. Its servers
/// need not run: a container answers at the ports that its pod declares.
pub(super) fn agnhost(process: &mut Process, io: &Io, arguments: &[String]) -> Exit {
    let command = arguments.first().map(String::as_str).unwrap_or_default();
    if command != "connect" {
        return process.fail(io, 1, format!("Error: unknown command {command:?} for \"app\""));
    }
    let target = arguments[1..].iter().find(|argument| !argument.starts_with('-'));
    let Some((host, port)) = target.and_then(|target| target.rsplit_once(':')) else {
        return process.fail(io, 1, "Error: accepts 1 arg(s), received 0");
    };
    let Ok(port) = port.parse() else {
        return process.fail(io, 1, "OTHER: address: invalid port");
    };
    match web::connect(process, host, port) {
        Answer::Page(_) | Answer::Status(_) => Ok(0),
        Answer::Refused => process.fail(io, 1, "REFUSED"),
        Answer::TimedOut | Answer::Stalled => process.fail(io, 1, "TIMEOUT"),
        Answer::Unresolved => process.fail(io, 1, format!("DNS: lookup {host}: no such host")),
    }
}
