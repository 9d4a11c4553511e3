use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use openssh::{Session, Stdio};
use stargate_client::{Backoff, CallEffect, CallPermit, error_chain};
use stargate_sdk::ActionError;
use tokio::{
    io::AsyncWriteExt,
    sync::{Mutex, Semaphore, SemaphorePermit},
};

use super::{
    command_output::CommandOutput,
    marker::{GATE, after_gate, split_exit_code, with_exit_code},
    master::Master,
    output_stream::{read_ends, read_whole},
    state_dir::StateDir,
};
use crate::host::SshHost;

/// Maximum number of concurrent commands of one connection. sshd's `MaxSessions` is 10; the rest is
/// left for other clients.
const MAX_CONCURRENT_COMMANDS: usize = 8;
/// Maximum duration of TCP connect, key exchange and login together. ssh's own `ConnectTimeout`
/// does not include the login.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Delays between attempts to open a session that sshd refuses.
const REFUSED_BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
/// Maximum number of attempts to open a session that sshd refuses.
const MAX_REFUSALS: usize = 10;
/// Words of ssh for a session that sshd refuses.
const REFUSED: &str = "Session open refused by peer";

/// Number of bytes of a command's input that are written at a time: what a pipe takes without a
/// wait.
const INPUT_PART_BYTES: usize = 32 * 1024;

/// A command on a host.
type Child<'a> = openssh::Child<&'a Session>;

/// Master connection to one host, opened at first use and again when it has been lost.
pub(super) struct SshConnection {
    host: SshHost,
    // Held while a connection is opened: callers that come meanwhile wait for that one, and share
    // its failure. Otherwise each of them would wait for a host that does not respond, one after
    // the other.
    session: Mutex<SessionSlot>,
    slots: Semaphore,
    logins: Arc<Semaphore>,
}

/// State of a connection.
#[derive(Default)]
struct SessionSlot {
    open: Option<Arc<Master>>,
    /// Time and error of the last failure to open one.
    failure: Option<(Instant, ActionError)>,
}

/// Failure of a command.
pub(super) enum ExecuteError {
    /// The command was not sent, since the lease of its run has expired.
    NotSent(ActionError),
    /// The command's end was not seen, for this reason.
    ConnectionLost(String),
    /// The command printed more than is parsed.
    OutputTooLarge,
}

impl SshConnection {
    /// A connection that is not opened yet. `logins` bounds the concurrent logins of all
    /// connections that share it.
    pub(super) fn new(host: SshHost, logins: Arc<Semaphore>) -> Self {
        Self { host, session: Mutex::default(), slots: Semaphore::new(MAX_CONCURRENT_COMMANDS), logins }
    }

    /// Host that the connection leads to.
    pub(super) fn host(&self) -> &SshHost {
        &self.host
    }

    /// Returns a live session, opening one if necessary. `hidden` are variables that ssh does not
    /// get.
    ///
    /// # Errors
    /// If the host cannot be reached or refuses the login; no command was sent.
    pub(super) async fn session(
        &self,
        state: &StateDir,
        hidden: &BTreeSet<String>,
    ) -> Result<Arc<Master>, ActionError> {
        let called = Instant::now();
        let mut slot = self.session.lock().await;
        if let Some(session) = slot.open.as_ref()
            && !session.is_abandoned()
            && session.check().await.is_ok()
        {
            return Ok(Arc::clone(session));
        }
        slot.open = None;
        if let Some((failed, error)) = &slot.failure
            && *failed > called
        {
            return Err(error.clone());
        }
        match self.open(state, hidden).await {
            Ok(session) => {
                let session = Arc::new(session);
                slot.open = Some(Arc::clone(&session));
                Ok(session)
            }
            Err(error) => {
                slot.failure = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Waits until another command can run at the same time.
    pub(super) async fn slot(&self) -> SemaphorePermit<'_> {
        self.slots.acquire().await.expect("the semaphore is never closed")
    }

    /// Runs the shell command `line` with `input` on its standard input, and waits for its end.
    ///
    /// # Errors
    /// [`ExecuteError`]; the command may have run.
    pub(super) async fn execute(
        &self,
        permit: CallPermit,
        session: &Arc<Master>,
        line: &str,
        input: Option<&[u8]>,
    ) -> Result<CommandOutput, ExecuteError> {
        run_command(permit, session, line, input).await
    }

    /// Drops `session`, so that the next command opens a new one.
    pub(super) async fn forget(&self, session: &Arc<Master>) {
        let mut slot = self.session.lock().await;
        if slot.open.as_ref().is_some_and(|present| Arc::ptr_eq(present, session)) {
            slot.open = None;
        }
    }

    async fn open(&self, state: &StateDir, hidden: &BTreeSet<String>) -> Result<Master, ActionError> {
        let config = state.write_config(&self.host)?;
        // The wait for the permit is not part of the login timeout.
        let _permit = self.logins.acquire().await.expect("the semaphore is never closed");
        let start = Master::start(&self.host, &config, state.control_dir(), hidden);
        tokio::time::timeout(LOGIN_TIMEOUT, start).await.unwrap_or_else(|_| {
            Err(ActionError::transient(format!("host {}: no login within {LOGIN_TIMEOUT:?}", self.host)))
        })
    }
}

async fn run_command(
    permit: CallPermit,
    session: &Arc<Master>,
    line: &str,
    input: Option<&[u8]>,
) -> Result<CommandOutput, ExecuteError> {
    let lost = |e: openssh::Error| ExecuteError::ConnectionLost(error_chain(&e));
    // A session takes some messages to open, and the process can be stopped between them. A command
    // that changes something therefore starts when it has read a line, which is sent at once.
    let is_gated = permit.effect() == CallEffect::MayHaveChanged;
    let line = if is_gated { after_gate(line) } else { line.to_owned() };
    let gate = if is_gated { GATE.as_bytes() } else { &[] };
    let content = [gate, input.unwrap_or_default()].concat();
    let mut child = spawn(session, &with_exit_code(&line), !content.is_empty()).await?;
    let running = session.command();
    let stdin = child.stdin().take();
    permit.check().map_err(ExecuteError::NotSent)?;
    let (stdout, stderr) = (child.stdout().take(), child.stderr().take());
    // What a command that changes something prints is only shown; that of a read is parsed.
    let read_stdout = async {
        let read = if is_gated { Some(read_ends(stdout).await) } else { read_whole(stdout).await };
        read.ok_or(ExecuteError::OutputTooLarge)
    };
    let write_stdin = async {
        write(&permit, stdin, &content).await;
        Ok(())
    };
    let ((), stdout, stderr) = tokio::try_join!(write_stdin, read_stdout, async { Ok(read_ends(stderr).await) })?;
    // The marker alone shows the exit code of the command; ssh's own status only explains a missing
    // marker.
    let status = child.wait().await;
    running.ended();
    match split_exit_code(stdout) {
        Some((stdout, code)) => Ok(CommandOutput { code, stdout: text(stdout), stderr: text(stderr) }),
        None => Err(status
            .map_or_else(lost, |status| ExecuteError::ConnectionLost(format!("the command ended early, {status}")))),
    }
}

/// Starts a command in a session channel of its own.
///
/// sshd closes the channel of a command after the command has ended. Until then it counts as one of
/// `MaxSessions`, and a new one is refused. Such a command was not started, so it is tried again.
///
/// # Errors
/// [`ExecuteError::NotSent`] if sshd refuses each attempt; else the command may have started.
async fn spawn<'a>(session: &'a Session, line: &str, has_input: bool) -> Result<Child<'a>, ExecuteError> {
    let mut delays = REFUSED_BACKOFF.delays();
    for _ in 0..MAX_REFUSALS {
        let mut command = session.raw_command(line);
        command.stdin(if has_input { Stdio::piped() } else { Stdio::null() });
        let error = match command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().await {
            Ok(child) => return Ok(child),
            Err(error) => error_chain(&error),
        };
        if !error.contains(REFUSED) {
            return Err(ExecuteError::ConnectionLost(error));
        }
        tokio::time::sleep(delays.next_delay()).await;
    }
    let error = ActionError::transient(format!("sshd refused a session {MAX_REFUSALS} times"));
    Err(ExecuteError::NotSent(
        error.with_hint("other clients use its sessions, or MaxSessions in its configuration is too low"),
    ))
}

// A program can end before it has read all its input: its exit code decides. Input that is not
// complete when the lease expires is not continued, since another owner may be writing by then.
async fn write(permit: &CallPermit, stdin: Option<openssh::ChildStdin>, content: &[u8]) {
    let Some(mut stdin) = stdin else { return };
    for part in content.chunks(INPUT_PART_BYTES) {
        if permit.check().is_err() || stdin.write_all(part).await.is_err() {
            return;
        }
    }
    stdin.shutdown().await.ok();
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
