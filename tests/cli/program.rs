use std::{
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// Time after which a wait is reported as a failure: generous, because machines may be slow.
pub(crate) const WAIT_TIMEOUT: Duration = Duration::from_mins(1);

/// Program with its own folder and journal, and with no environment variables except the given
/// ones.
pub(crate) struct Program {
    folder: TempDir,
    variables: Vec<(String, String)>,
}

impl Program {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), variables: Vec::new() }
    }

    pub(crate) fn with(mut self, variables: Vec<(String, String)>) -> Self {
        self.variables = variables;
        self
    }

    pub(crate) fn also(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.path(".local/state/stargate/journal.db")
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        command(self.folder.path(), &self.variables, arguments)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> ProgramOutput {
        ProgramOutput::of(&mut self.command(arguments))
    }

    /// Runs the program and asserts its exit code.
    pub(crate) fn expect(&self, code: i32, arguments: &[&str]) -> ProgramOutput {
        let ran = self.run(arguments);
        assert_eq!(ran.code, Some(code), "{arguments:?}: {ran:?}");
        ran
    }

    pub(crate) fn spawn(&self, arguments: &[&str]) -> RunningProgram {
        let mut command = self.command(arguments);
        RunningProgram(Some(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()))
    }
}

pub(crate) fn command(folder: &Path, variables: &[(String, String)], arguments: &[&str]) -> Command {
    // The tests may run under `nohup`, whose processes ignore SIGHUP.
    let mut command = Command::new("/usr/bin/env");
    command.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_stargate")]);
    command.args(arguments).current_dir(folder).env_clear().env("HOME", folder).env("TMPDIR", folder);
    // ssh is found in the PATH of the system.
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.envs(variables.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
    command
}

/// Output and exit code of a program that has ended.
#[derive(Debug)]
pub(crate) struct ProgramOutput {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl ProgramOutput {
    /// Runs a command to its end and collects its output.
    pub(crate) fn of(command: &mut Command) -> Self {
        Self::new(&command.output().unwrap())
    }

    fn new(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Parses standard output as one JSON value.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Parses standard output as JSON lines.
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.out.lines().map(parse).collect()
    }

    /// Returns the hint in the last line of standard error.
    pub(crate) fn hint(&self) -> &str {
        let last = self.err.lines().last().unwrap_or_default();
        last.strip_prefix("hint: ").unwrap_or_else(|| panic!("no hint at the end: {self:?}"))
    }
}

/// Running program, killed on drop.
pub(crate) struct RunningProgram(Option<Child>);

impl RunningProgram {
    pub(crate) fn id(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Reads standard error up to and including a line that contains `text`.
    pub(crate) fn read_until(&mut self, text: &str) -> String {
        let stderr = self.0.as_mut().unwrap().stderr.as_mut().unwrap();
        let (mut read, mut byte) = (Vec::new(), [0]);
        while stderr.read(&mut byte).unwrap() == 1 {
            read.push(byte[0]);
            if byte == *b"\n" && String::from_utf8_lossy(&read).contains(text) {
                return String::from_utf8(read).unwrap();
            }
        }
        panic!("ended before it printed {text:?}: {}", String::from_utf8_lossy(&read));
    }

    /// Reads lines of standard output up to and including one that contains `text`, and calls
    /// `visit` with each. Returns the last one.
    pub(crate) fn read_line_until(&mut self, text: &str, visit: &mut impl FnMut(&str)) -> String {
        let stdout = self.0.as_mut().unwrap().stdout.as_mut().unwrap();
        let (mut line, mut byte) = (Vec::new(), [0]);
        while stdout.read(&mut byte).unwrap() == 1 {
            line.push(byte[0]);
            if byte == *b"\n" {
                let shown = String::from_utf8(std::mem::take(&mut line)).unwrap();
                visit(&shown);
                if shown.contains(text) {
                    return shown;
                }
            }
        }
        panic!("ended before it printed {text:?}");
    }

    /// True if the program has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.0.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    pub(crate) fn end(mut self) -> ProgramOutput {
        ProgramOutput::new(&self.0.take().unwrap().wait_with_output().unwrap())
    }

    pub(crate) fn kill(mut self) {
        let mut child = self.0.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for RunningProgram {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // The process may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Polls until `condition` returns a value.
pub(crate) fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + WAIT_TIMEOUT;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < until, "timed out waiting for {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
