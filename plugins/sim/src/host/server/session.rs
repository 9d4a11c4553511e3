use std::collections::BTreeMap;

use super::runtime::Runtime;
use crate::host::io::{Io, Sink, Source};
use crate::host::process::{Exit, Process, ROOT_PATH, USER_PATH};
use crate::host::shell::{Dialect, Shell, parse};

/// Output and exit status of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit status; 255 if the machine went down meanwhile.
    pub status: i32,
    /// Text of the standard output.
    pub stdout: String,
    /// Text of the standard error.
    pub stderr: String,
}

/// Returns the environment of a user's programs after a login.
///
/// `None` if the account does not exist or the machine went down.
pub(super) fn login(
    runtime: &Runtime,
    host: &str,
    boot: u64,
    user: &str,
    sent: &BTreeMap<String, String>,
) -> Option<Process> {
    let account = runtime.with(host, boot, |machine, _| machine.account(user))??;
    let path = if user == "root" { ROOT_PATH } else { USER_PATH };
    let mut process = runtime.root(host, boot, true)?;
    process.actor = account.actor();
    process.environment = account.environment(path);
    // Debian's sshd accepts only the variables that `AcceptEnv` names.
    let accepted = sent.iter().filter(|(name, _)| *name == "LANG" || name.starts_with("LC_"));
    process.environment.extend(accepted.map(|(name, value)| (name.clone(), value.clone())));
    process.directory = account.home;
    Some(process)
}

/// Runs a command line in the login shell.
pub(super) fn execute(mut process: Process, io: &Io, command: &str) -> Exit {
    Shell::new(&mut process, Dialect::Bash, "bash", &[], io).run(command)
}

/// Runs the lines of the input as they arrive, with `prompt` before each of them.
pub(in crate::host) fn converse(mut process: Process, io: &Io, prompt: Option<&str>) -> Exit {
    let output = process.clone();
    let mut shell = Shell::new(&mut process, Dialect::Bash, "-bash", &[], io);
    let mut script = String::new();
    loop {
        if let Some(prompt) = prompt {
            output.print(io, if script.is_empty() { prompt } else { "> " })?;
        }
        let line = io.input.read_line();
        script.push_str(&String::from_utf8_lossy(&line));
        let incomplete = parse(&script).is_err_and(|error| error.incomplete);
        if line.is_empty() || !incomplete {
            let (status, ended) = shell.step(&script)?;
            script.clear();
            if ended || line.is_empty() {
                return Ok(status);
            }
        }
    }
}

/// Runs a script as root and waits for its end.
pub(super) fn captured(mut process: Process, script: &str) -> Output {
    let (output, error) = (Sink::buffer(), Sink::buffer());
    let io = Io { input: Source::empty(), output: output.clone(), error: error.clone() };
    let status = Shell::new(&mut process, Dialect::Bash, "bash", &[], &io).run(script).unwrap_or(255);
    let text = |sink: &Sink| String::from_utf8_lossy(&sink.taken()).into_owned();
    Output { status, stdout: text(&output), stderr: text(&error) }
}
