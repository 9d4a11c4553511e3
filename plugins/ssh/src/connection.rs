use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use openssh::{ControlPersist, KnownHosts, Session, SessionBuilder, Stdio};
use stargate_sdk::ActionError;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Mutex, Semaphore},
};

use crate::{
    connect_failure::{connect_failure, with_causes},
    host::Host,
    marker::{marked, unmarked},
    outcome::Outcome,
    state_dir::StateDir,
};

/// sshd's `MaxSessions` is 10 a connection; some are left for others.
const COMMANDS_AT_ONCE: usize = 8;
/// A master whose process was killed ends itself after this many idle seconds.
const IDLE_SECONDS: NonZeroUsize = NonZeroUsize::new(60).expect("not zero");
/// TCP, key exchange and login together; ssh's own timeout ends before the login.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);

/// The way to one host: a master connection that is opened at first use and again when it has died.
pub(crate) struct Connection {
    host: Host,
    // Held while a connection is made: whoever comes meanwhile waits for that one.
    session: Mutex<Option<Arc<Session>>>,
    permits: Semaphore,
    logins: Arc<Semaphore>,
}

/// The connection was lost after the command was sent.
pub(crate) struct Lost(pub(crate) String);

impl Connection {
    /// `logins` bounds the logins that are under way at once, together with those of others that hold it.
    pub(crate) fn new(host: Host, logins: Arc<Semaphore>) -> Self {
        Self { host, session: Mutex::default(), permits: Semaphore::new(COMMANDS_AT_ONCE), logins }
    }

    /// The host it leads to.
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// A live session. On an error nothing was sent.
    pub(crate) async fn session(&self, state: &StateDir) -> Result<Arc<Session>, ActionError> {
        let mut slot = self.session.lock().await;
        if let Some(session) = slot.as_ref()
            && session.check().await.is_ok()
        {
            return Ok(Arc::clone(session));
        }
        *slot = None;
        let session = Arc::new(self.open(state).await?);
        *slot = Some(Arc::clone(&session));
        Ok(session)
    }

    /// Runs `line` and waits for its end.
    pub(crate) async fn execute(
        &self,
        session: &Arc<Session>,
        line: &str,
        input: Option<&[u8]>,
    ) -> Result<Outcome, Lost> {
        let _permit = self.permits.acquire().await.expect("the semaphore is never closed");
        exchange(session, line, input).await
    }

    /// Gives up `session`, so that the next command opens a new one.
    pub(crate) async fn forget(&self, session: &Arc<Session>) {
        let mut slot = self.session.lock().await;
        if slot.as_ref().is_some_and(|present| Arc::ptr_eq(present, session)) {
            *slot = None;
        }
    }

    async fn open(&self, state: &StateDir) -> Result<Session, ActionError> {
        let mut builder = SessionBuilder::default();
        builder
            .user(self.host.user.clone())
            .known_hosts_check(KnownHosts::Strict)
            .control_directory(state.control_dir())
            .control_persist(ControlPersist::IdleFor(IDLE_SECONDS))
            .config_file(state.write_config(&self.host)?);
        if let Some(port) = self.host.port {
            builder.port(port);
        }
        // Waiting for one's turn is not part of the time that a login may take.
        let _turn = self.logins.acquire().await.expect("the semaphore is never closed");
        match tokio::time::timeout(LOGIN_TIMEOUT, builder.connect_mux(&self.host.address)).await {
            Ok(session) => session.map_err(|e| connect_failure(&self.host, &e)),
            Err(_) => Err(ActionError::transient(format!("host {}: no login within {LOGIN_TIMEOUT:?}", self.host))),
        }
    }
}

async fn exchange(session: &Arc<Session>, line: &str, input: Option<&[u8]>) -> Result<Outcome, Lost> {
    let lost = |e: openssh::Error| Lost(with_causes(&e));
    let mut child = session
        .raw_command(marked(line))
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .await
        .map_err(lost)?;
    let stdin = child.stdin().take();
    let (stdout, stderr) = (child.stdout().take(), child.stderr().take());
    let ((), stdout, stderr) = tokio::join!(write(stdin, input), read(stdout), read(stderr));
    // The marker alone says how the command ended; what ssh says of it is of use only when there is none.
    let ended = child.wait().await;
    match unmarked(stdout) {
        Some((stdout, code)) => Ok(Outcome { code, stdout: text(&stdout), stderr: text(&stderr) }),
        None => {
            Err(Lost(ended.map_or_else(|e| with_causes(&e), |status| format!("the command ended early, {status}"))))
        }
    }
}

// A program that ends without having read everything is no error: its exit code says what it thinks of it.
async fn write(stdin: Option<openssh::ChildStdin>, input: Option<&[u8]>) {
    if let (Some(mut stdin), Some(input)) = (stdin, input) {
        stdin.write_all(input).await.ok();
        stdin.shutdown().await.ok();
    }
}

// What arrived before the connection was lost is kept.
async fn read(stream: Option<impl AsyncReadExt + Unpin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        stream.read_to_end(&mut bytes).await.ok();
    }
    bytes
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
