use std::{
    io,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
};

/// Maximum length of a line of standard error that is passed on, in bytes. The rest of the line
/// becomes lines of its own.
const MAX_LINE_BYTES: usize = 1024;
/// Time to wait for the end of standard error after the exit of the program, which a process in the
/// background can keep open.
const LAST_LINES_TIMEOUT: Duration = Duration::from_millis(100);

/// Exit status and standard output of a program of this machine.
#[derive(Debug)]
pub struct LocalOutput {
    /// Exit status of the program.
    pub status: ExitStatus,
    /// Standard output, complete.
    pub stdout: Vec<u8>,
}

/// Reason for which a program of this machine has no [`LocalOutput`].
#[derive(Debug, thiserror::Error)]
pub enum LocalCommandError {
    /// The program could not be started.
    #[error("it cannot be started: {0}")]
    Start(#[source] io::Error),
    /// Its output or its end could not be read.
    #[error("its output cannot be read: {0}")]
    Read(#[source] io::Error),
    /// The program printed more than the limit, and was killed.
    #[error("it printed more than {0} bytes")]
    OutputTooLarge(usize),
}

/// Runs a program of this machine and reads its standard output, of at most `max_bytes`. Each line
/// of standard error is passed to `on_error_line` as soon as it is complete.
///
/// The program leads a process group of its own, so that a Ctrl-C in the terminal does not reach
/// it. The group is killed when the future is dropped before the program has exited, so that a
/// timeout or a cancellation of the caller leaves none of its processes. `command` decides about
/// arguments, environment and standard input.
///
/// # Errors
/// [`LocalCommandError`]. An exit status other than 0 is not an error.
pub async fn run_local_command(
    mut command: Command,
    max_bytes: usize,
    on_error_line: impl FnMut(&str),
) -> Result<LocalOutput, LocalCommandError> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    let mut group = ChildGroup { child: command.spawn().map_err(LocalCommandError::Start)? };
    let (stdout, stderr) = (group.child.stdout.take(), group.child.stderr.take());
    // A program that closes its output early can still write errors until it exits, and a process
    // that it left in the background can keep standard error open: the exit decides.
    let read = async {
        let stdout = read_output(stdout, max_bytes).await?;
        let status = group.child.wait().await.map_err(LocalCommandError::Read)?;
        Ok(LocalOutput { status, stdout })
    };
    let mut lines = LineReader::new(on_error_line);
    let output = {
        let read_lines = lines.read(stderr);
        tokio::pin!(read, read_lines);
        let output = tokio::select! {
            output = &mut read => output,
            () = &mut read_lines => return read.await,
        };
        // What the program itself wrote is in the pipe already.
        tokio::time::timeout(LAST_LINES_TIMEOUT, read_lines).await.ok();
        output
    };
    lines.end();
    output
}

/// A program and the process group that it leads.
struct ChildGroup {
    child: Child,
}

impl Drop for ChildGroup {
    /// Kills the group, unless the program has exited and its status was read.
    ///
    /// Until then the number of the group cannot belong to other processes.
    fn drop(&mut self) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // The group can have ended meanwhile, which is as good.
            kill_process_group(pid, Signal::KILL).ok();
        }
    }
}

/// Reads a stream to its end, or fails after `max_bytes`.
async fn read_output(stream: Option<impl AsyncRead + Unpin>, max_bytes: usize) -> Result<Vec<u8>, LocalCommandError> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        let limit = max_bytes as u64 + 1;
        stream.take(limit).read_to_end(&mut bytes).await.map_err(LocalCommandError::Read)?;
    }
    if bytes.len() > max_bytes { Err(LocalCommandError::OutputTooLarge(max_bytes)) } else { Ok(bytes) }
}

/// Passes on the lines of a stream, with bounded memory.
struct LineReader<F> {
    pending: Vec<u8>,
    on_line: F,
}

impl<F: FnMut(&str)> LineReader<F> {
    fn new(on_line: F) -> Self {
        Self { pending: Vec::new(), on_line }
    }

    /// Reads a stream to its end. Can be dropped at any time.
    async fn read(&mut self, stream: Option<impl AsyncRead + Unpin>) {
        let Some(mut stream) = stream else { return };
        let mut part = [0; MAX_LINE_BYTES];
        while let Ok(count @ 1..) = stream.read(&mut part).await {
            part[..count].iter().for_each(|byte| self.add(*byte));
        }
        self.end();
    }

    fn add(&mut self, byte: u8) {
        if byte != b'\n' {
            self.pending.push(byte);
        }
        if byte == b'\n' || self.pending.len() == MAX_LINE_BYTES {
            self.end();
        }
    }

    /// Passes on an incomplete last line.
    fn end(&mut self) {
        let line = String::from_utf8_lossy(&self.pending);
        if !line.trim().is_empty() {
            (self.on_line)(line.trim_end());
        }
        self.pending.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null());
        command
    }

    #[tokio::test]
    async fn output_status_and_lines_of_standard_error_are_returned() {
        let mut lines = Vec::new();
        let run = run_local_command(shell("echo a; echo one >&2; printf two >&2; exit 7"), 100, |line| {
            lines.push(line.to_owned());
        });
        let output = run.await.expect("started");
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(7), b"a\n".as_slice()));
        assert_eq!(lines.first().map(String::as_str), Some("one"));
    }

    #[tokio::test]
    async fn the_output_is_read_up_to_its_limit() {
        let run = |max_bytes| run_local_command(shell("printf 12345"), max_bytes, |_| ());
        assert_eq!(run(5).await.expect("short enough").stdout, b"12345");
        assert!(matches!(run(4).await, Err(LocalCommandError::OutputTooLarge(4))));
        let endless = run_local_command(shell("cat /dev/zero; sleep 600"), 1 << 16, |_| ()).await;
        assert!(matches!(endless, Err(LocalCommandError::OutputTooLarge(_))));
        let chatty = run_local_command(shell("yes >&2 & sleep 0; kill $!; echo done"), 100, |_| ()).await;
        assert_eq!(chatty.expect("ended").stdout, b"done\n");
    }

    #[tokio::test]
    async fn a_dropped_call_leaves_no_process_of_its_group() {
        let (said, mut pids) = tokio::sync::mpsc::unbounded_channel();
        let script = "sleep 600 & echo $! >&2; trap '' TERM INT; wait; sleep 600";
        let run = run_local_command(shell(script), 100, |line| said.send(line.to_owned()).expect("received"));
        let pid = tokio::select! {
            _ = run => panic!("it does not end"),
            pid = pids.recv() => pid.expect("a line"),
        };
        let status = format!("/proc/{pid}/stat");
        // A process that was killed can wait for its new parent to read its status.
        let is_gone = || std::fs::read_to_string(&status).map_or(true, |stat| stat.contains(") Z "));
        while !is_gone() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn a_program_that_does_not_exist_is_an_error() {
        let missing = run_local_command(Command::new("/nonexistent/program"), 1, |_| ()).await;
        assert!(matches!(missing, Err(LocalCommandError::Start(_))));
    }
}
