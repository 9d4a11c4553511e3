use std::{
    collections::HashSet,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use openssh::Session;
use serde::de::DeserializeOwned;
use stargate_sdk::{ActionContext, ActionError};

use crate::{
    command::RemoteCommand,
    connection::{Connection, Lost},
    outcome::{Outcome, excerpt},
    state_dir::StateDir,
};

/// No command of ours takes longer than a few seconds on a machine that is well.
const COMMAND_TIMEOUT: Duration = Duration::from_mins(2);

/// A host, as one attempt of a step sees it.
pub(crate) struct Remote<'a> {
    cx: &'a ActionContext,
    connection: Arc<Connection>,
    state: Arc<StateDir>,
    // A poll that sees the same again is not worth a second line in the log.
    logged: Mutex<HashSet<String>>,
}

impl<'a> Remote<'a> {
    pub(crate) fn new(cx: &'a ActionContext, connection: Arc<Connection>, state: Arc<StateDir>) -> Self {
        Self { cx, connection, state, logged: Mutex::default() }
    }

    /// Runs `command`, whatever its exit code.
    ///
    /// A connection that is lost on the way is `Unknown` for a command that changes something, else `Transient`.
    pub(crate) async fn run(&self, command: &RemoteCommand) -> Result<Outcome, ActionError> {
        let session = self.session().await?;
        let line = command.line(&self.connection.host().user);
        match self.execute(&session, &line, command).await {
            Ok(outcome) => {
                self.log(&line, command, &outcome);
                Ok(outcome)
            }
            Err(Lost(why)) => {
                self.connection.forget(&session).await;
                Err(self.in_doubt(command, &why))
            }
        }
    }

    /// Runs `command`; an exit code other than 0 is an error that names host and program.
    pub(crate) async fn succeed(&self, command: &RemoteCommand) -> Result<Outcome, ActionError> {
        self.run(command).await?.success(command).map_err(|e| self.context(e))
    }

    /// Runs `command` and reads its output as JSON.
    pub(crate) async fn json<T: DeserializeOwned>(&self, command: &RemoteCommand) -> Result<T, ActionError> {
        self.succeed(command).await?.json(command).map_err(|e| self.context(e))
    }

    /// Names the host in an error.
    pub(crate) fn context(&self, error: ActionError) -> ActionError {
        error.context(format_args!("host {}", self.connection.host()))
    }

    async fn session(&self) -> Result<Arc<Session>, ActionError> {
        tokio::select! {
            session = self.connection.session(&self.state) => session,
            () = tokio::time::sleep(self.cx.remaining()) => Err(ActionError::transient(format!(
                "host {}: no connection within the step's timeout", self.connection.host()
            ))),
            () = self.cx.cancellation().cancelled() => Err(ActionError::transient("interrupted")),
        }
    }

    async fn execute(&self, session: &Arc<Session>, line: &str, command: &RemoteCommand) -> Result<Outcome, Lost> {
        let remaining = self.cx.remaining();
        let limit = if command.is_patient() { remaining } else { COMMAND_TIMEOUT.min(remaining) };
        tokio::select! {
            outcome = self.connection.execute(session, line, command.input()) => outcome,
            () = tokio::time::sleep(limit) => Err(Lost(format!("no end within {limit:.0?}"))),
            () = self.cx.cancellation().cancelled() => Err(Lost("interrupted".into())),
        }
    }

    fn in_doubt(&self, command: &RemoteCommand, why: &str) -> ActionError {
        let message = format!("host {}: {}: {why}", self.connection.host(), command.program());
        if command.changes() { ActionError::unknown(message) } else { ActionError::transient(message) }
    }

    fn log(&self, line: &str, command: &RemoteCommand, outcome: &Outcome) {
        let mut text = format!("{}$ {line}", self.connection.host());
        for stream in [&outcome.stdout, &outcome.stderr] {
            if !stream.trim().is_empty() && !command.is_confidential() {
                write!(text, "\n{}", excerpt(stream)).expect("a string takes every write");
            }
        }
        if outcome.code != 0 {
            write!(text, "\nexit {}", outcome.code).expect("a string takes every write");
        }
        if self.logged.lock().unwrap_or_else(PoisonError::into_inner).insert(text.clone()) {
            text.lines().for_each(|line| self.cx.log(line));
        }
    }
}
