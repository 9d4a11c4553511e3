use std::{
    collections::HashSet,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::de::DeserializeOwned;
use stargate_client::{StopReason, Stopped, within};
use stargate_sdk::{ActionContext, ActionError, FailureKind};

use super::{
    command::RemoteCommand,
    command_output::{CommandOutput, redacted_excerpt},
    connection::{ExecuteError, SshConnection},
    master::Master,
    output_stream::MAX_OUTPUT_BYTES,
    state_dir::StateDir,
};

/// Maximum duration of a command that neither fetches nor installs anything: on a healthy machine
/// it takes seconds.
const COMMAND_TIMEOUT: Duration = Duration::from_mins(2);

/// A host, as used by one attempt of a step.
pub(crate) struct Remote<'a> {
    cx: &'a ActionContext,
    connection: Arc<SshConnection>,
    state: Arc<StateDir>,
    // Each text is logged once, so that a poll does not repeat itself in the log.
    logged: Mutex<HashSet<String>>,
    ignores_circuits: bool,
}

impl<'a> Remote<'a> {
    pub(super) fn new(cx: &'a ActionContext, connection: Arc<SshConnection>, state: Arc<StateDir>) -> Self {
        Self { cx, connection, state, logged: Mutex::default(), ignores_circuits: false }
    }

    /// The same host, tried also if another step of the run could not reach it.
    pub(crate) fn ignoring_circuits(self) -> Self {
        Self { ignores_circuits: true, ..self }
    }

    /// Runs `command` and returns its output, for any exit code.
    ///
    /// # Errors
    /// If the host cannot be reached. If the end of the command was not seen: `Unknown` for a
    /// command that changes something, else `Transient`.
    pub(crate) async fn run(&self, command: &RemoteCommand) -> Result<CommandOutput, ActionError> {
        let session = self.session().await?;
        let line = command.line(&self.connection.host().user);
        match self.execute(&session, &line, command).await {
            Ok(mut output) => {
                self.log(&line, command, &output);
                // It is only shown, and cut for that.
                output.stderr = self.cx.redactor().redact(&output.stderr);
                Ok(output)
            }
            Err(ExecuteError::NotSent(error)) => Err(self.context(error)),
            Err(error) => {
                self.connection.forget(&session).await;
                Err(self.execute_error(command, error))
            }
        }
    }

    /// Runs `command` and returns its output if it succeeds.
    ///
    /// # Errors
    /// Those of [`Self::run`], and an exit code other than 0. The error names host and program.
    pub(crate) async fn succeed(&self, command: &RemoteCommand) -> Result<CommandOutput, ActionError> {
        self.run(command).await?.into_success(command).map_err(|e| self.context(e))
    }

    /// Runs `command` and parses its output as JSON.
    ///
    /// # Errors
    /// Those of [`Self::succeed`], and `Permanent` for output of another form.
    pub(crate) async fn json<T: DeserializeOwned>(&self, command: &RemoteCommand) -> Result<T, ActionError> {
        self.succeed(command).await?.json(command).map_err(|e| self.context(e))
    }

    /// Adds the host's name to an error.
    pub(crate) fn context(&self, error: ActionError) -> ActionError {
        error.context(format_args!("host {}", self.connection.host()))
    }

    /// Opens a session, unless another step of the run has failed because the machine or its jump
    /// host did not respond.
    async fn session(&self) -> Result<Arc<Master>, ActionError> {
        let host = self.connection.host();
        if !self.ignores_circuits {
            host.path().try_for_each(|hop| self.cx.circuits().check(&hop)).map_err(|e| self.context(e))?;
        }
        let stopped = |reason| match reason {
            StopReason::Deadline => self.context(ActionError::transient("no connection within the step's timeout")),
            StopReason::Cancelled => ActionError::transient("interrupted"),
        };
        let hidden = self.cx.secret_variables();
        let opened = within(self.cx, self.connection.session(&self.state, &hidden)).await;
        let result = opened.unwrap_or_else(|error| Err(stopped(error.reason)));
        self.report_to_circuits(result.as_ref().err());
        result
    }

    /// Records that the host and its jump host respond, or that the host does not.
    fn report_to_circuits(&self, failure: Option<&ActionError>) {
        let (circuits, host) = (self.cx.circuits(), self.connection.host());
        match failure {
            None => host.path().for_each(|hop| circuits.reached(&hop)),
            Some(error) if error.kind == FailureKind::Transient => {
                circuits.missed(&host.to_string(), self.cx.step(), error);
            }
            Some(_) => {} // it responds, and refuses the login
        }
    }

    async fn execute(
        &self,
        session: &Arc<Master>,
        line: &str,
        command: &RemoteCommand,
    ) -> Result<CommandOutput, ExecuteError> {
        let limit = if command.has_step_timeout() { self.cx.remaining() } else { COMMAND_TIMEOUT };
        let limit = limit.min(self.cx.remaining());
        let execute = async {
            let _slot = self.connection.slot().await;
            let permit = command.effect().permit(self.cx, command.program()).await.map_err(ExecuteError::NotSent);
            tokio::time::timeout(limit, self.connection.execute(permit?, session, line, command.input()))
                .await
                .unwrap_or_else(|_| Err(ExecuteError::ConnectionLost(format!("no end within {limit:.0?}"))))
        };
        match within(self.cx, execute).await {
            Ok(result) => result,
            Err(Stopped { reason: StopReason::Deadline, .. }) => {
                Err(ExecuteError::ConnectionLost(format!("no end within {limit:.0?}")))
            }
            Err(Stopped { reason: StopReason::Cancelled, .. }) => {
                Err(ExecuteError::ConnectionLost("interrupted".into()))
            }
        }
    }

    fn execute_error(&self, command: &RemoteCommand, error: ExecuteError) -> ActionError {
        let effect = command.effect();
        let error = match error {
            ExecuteError::NotSent(error) => return self.context(error),
            ExecuteError::ConnectionLost(reason) => effect.unanswered_error(reason),
            ExecuteError::OutputTooLarge => {
                ActionError::permanent(format!("the output is larger than the limit of {MAX_OUTPUT_BYTES} bytes"))
            }
        };
        self.context(error.context(command.program()))
    }

    /// Logs the command with its output, unless that is confidential.
    fn log(&self, line: &str, command: &RemoteCommand, output: &CommandOutput) {
        let mut text = format!("{}$ {line}", self.connection.host());
        for stream in [&output.stdout, &output.stderr] {
            if !stream.trim().is_empty() && !command.is_confidential() {
                write!(text, "\n{}", redacted_excerpt(stream, self.cx.redactor()))
                    .expect("writing to a string does not fail");
            }
        }
        if output.code != 0 {
            write!(text, "\nexit {}", output.code).expect("writing to a string does not fail");
        }
        self.log_once(&text);
    }

    /// Logs a text of one or more lines, unless it was logged before.
    pub(crate) fn log_once(&self, text: &str) {
        let is_new = self.logged.lock().unwrap_or_else(PoisonError::into_inner).insert(text.to_owned());
        if is_new {
            text.lines().for_each(|line| self.cx.log(line));
        }
    }
}
