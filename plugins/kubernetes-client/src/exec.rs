use std::{convert::Infallible, time::Duration};

use futures::{Sink, SinkExt, Stream, StreamExt};
use http::{HeaderMap, StatusCode};
use kube::client::Connection;
use stargate_client::{CallEffect, CallPermit, StopReason, within};
use stargate_sdk::{ActionContext, ActionError};
use tokio_tungstenite::tungstenite::{Bytes, Error as SocketError, Message};

use crate::{
    KubeClient, KubeRequest, KubeStatus, ObjectName, PODS, StatusCause,
    error::{refused_error, unanswered_error},
    exec_frames::{ExecMessage, MAX_INPUT_BYTES, end_of_input_message, input_message},
};

/// Largest part of the output that is kept, in bytes: it is stored in the journal.
const MAX_OUTPUT_BYTES: usize = 64 << 10;
/// Largest part of standard error that is kept, in bytes from its end, where the reason of a
/// failure is.
const MAX_STDERR_BYTES: usize = 2 << 10;
/// Interval between pings. Azure's load balancer drops connections that are idle for 4 minutes, by
/// default.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// A command for a container of a pod.
#[derive(Debug)]
pub struct ExecCommand<'a> {
    /// Name of the pod.
    pub pod: ObjectName<'a>,
    /// Name of the container.
    pub container: &'a str,
    /// The program and its arguments; no shell is added.
    pub words: &'a [String],
    /// Standard input of the command; `None` if nothing is attached.
    pub stdin: Option<&'a str>,
    /// Effect that the command can have without a result.
    pub effect: CallEffect,
}

/// Exit code and output of a command that has exited.
#[derive(Debug, Default)]
pub struct CommandStatus {
    /// Exit code of the command.
    pub exit_code: i32,
    /// Standard output, its first 64 KiB.
    pub stdout: Vec<u8>,
    /// True if there was more output than is kept.
    pub truncated: bool,
    /// Standard error, its last 2 KiB.
    pub stderr: Vec<u8>,
}

impl KubeClient {
    /// Runs a command in a container until it exits.
    ///
    /// A deadline or a cancellation ends only the wait: Kubernetes cannot stop the command.
    ///
    /// # Errors
    /// If there is no exit code. The kind is `Unknown` if the command may have run and may have
    /// changed something.
    pub async fn exec(&self, cx: &ActionContext, command: &ExecCommand<'_>) -> Result<CommandStatus, ActionError> {
        let name = command.name();
        let stopped = match within(cx, self.run_command(cx, command, &name)).await {
            Ok(result) => return result,
            Err(stopped) => stopped,
        };
        Err(match (stopped.started, stopped.reason) {
            (false, _) => stopped.into_error(command.effect, &name),
            (true, StopReason::Deadline) => {
                command.effect.unanswered_error(format!("{name}: not finished within the step's timeout"))
            }
            (true, StopReason::Cancelled) => {
                command.effect.unanswered_error(format!("{name}: interrupted while it was running"))
            }
        })
    }

    async fn run_command(
        &self,
        cx: &ActionContext,
        command: &ExecCommand<'_>,
        name: &str,
    ) -> Result<CommandStatus, ActionError> {
        let client = self.connected(cx).await?;
        let permit = command.effect.permit(cx, name).await?;
        let connection = connect(permit, &client, command, name).await?;
        if command.stdin.is_some() && !connection.supports_stream_close() {
            let reason = "this API server cannot end the command's input (Kubernetes 1.30 and later can)";
            return Err(command.effect.unanswered_error(format!("{name}: {reason}")));
        }
        let (mut sink, mut source) = connection.into_stream().split();
        // Both directions run at the same time: a command can write much output before it has read
        // all input.
        tokio::select! {
            result = receive(&mut source) => result.map_err(|error| error.to_error(command, name)),
            never = send_input(&mut sink, command.stdin) => match never {},
        }
    }
}

/// Starts the command and returns its connection.
async fn connect(
    _: CallPermit,
    client: &kube::Client,
    command: &ExecCommand<'_>,
    name: &str,
) -> Result<Connection, ActionError> {
    let request = command.request().to_upgrade()?;
    client.connect(request).await.map_err(|e| command.upgrade_error(name, &e))
}

impl ExecCommand<'_> {
    /// Name in errors. Only the program: arguments can be a whole script.
    fn name(&self) -> String {
        let ObjectName { namespace, name } = self.pod;
        let program = self.words.first().map_or("", String::as_str);
        format!("command {program:?} in pod {}/{name}", namespace.unwrap_or_default())
    }

    fn request(&self) -> KubeRequest {
        let mut request = KubeRequest::read(PODS.object_path(self.pod, Some("exec")));
        for word in self.words {
            request = request.with("command", word);
        }
        request = request.with("container", self.container).with("stdout", "true").with("stderr", "true");
        if self.stdin.is_some() { request.with("stdin", "true") } else { request }
    }

    /// Classifies a connection that was not upgraded.
    fn upgrade_error(&self, name: &str, error: &kube::Error) -> ActionError {
        let kube::Error::Api(status) = error else { return unanswered_error(self.effect, name, error) };
        let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let effect = if was_not_started(&status.message) { CallEffect::ReadOnly } else { self.effect };
        let body = serde_json::to_vec(status).unwrap_or_default();
        refused_error(effect, name, code, &HeaderMap::new(), &body).into()
    }
}

/// Reason for which there is no exit code.
enum ExecError {
    /// The connection ended before the command did.
    Disconnected(String),
    /// The server reports that the command did not exit normally.
    Failed(KubeStatus),
}

impl ExecError {
    fn to_error(&self, command: &ExecCommand<'_>, name: &str) -> ActionError {
        match self {
            Self::Disconnected(reason) => {
                command.effect.unanswered_error(format!("{name}: the connection was lost: {reason}"))
            }
            Self::Failed(status) => failed_error(command.effect, name, status),
        }
    }
}

fn failed_error(effect: CallEffect, name: &str, status: &KubeStatus) -> ActionError {
    let message = format!("{name}: {}", status.message);
    let error = if is_not_startable(&status.message) {
        ActionError::permanent(message).with_hint("no shell is added: name a program of the image, or `[sh, -c, …]`")
    } else if was_not_started(&status.message) {
        ActionError::transient(message)
    } else {
        effect.unanswered_error(message)
    };
    if status.reason.is_empty() { error } else { error.with_code(&status.reason) }
}

/// True if the container runtime has no such program, or is not permitted to start it.
fn is_not_startable(message: &str) -> bool {
    message.contains("unable to start container process")
}

/// True if the request did not reach the kubelet, or the container does not exist.
fn was_not_started(message: &str) -> bool {
    let texts =
        ["error dialing backend", ": dial tcp ", "No agent available", "proxy error from", "container not found"];
    texts.iter().any(|text| message.contains(text))
}

/// Sends the command its input, and then pings. Never returns: the other direction reports a lost
/// connection.
async fn send_input(sink: &mut (impl Sink<Message, Error = SocketError> + Unpin), stdin: Option<&str>) -> Infallible {
    // A command that exits early leaves its input unread, which is not a failure.
    if write_input(sink, stdin).await.is_ok() {
        let mut interval = tokio::time::interval(PING_INTERVAL);
        while sink.send(Message::Ping(Bytes::new())).await.is_ok() {
            interval.tick().await;
        }
    }
    std::future::pending().await
}

/// Sends the input in parts, and its end.
async fn write_input(
    sink: &mut (impl Sink<Message, Error = SocketError> + Unpin),
    stdin: Option<&str>,
) -> Result<(), SocketError> {
    let Some(stdin) = stdin else { return Ok(()) };
    for part in stdin.as_bytes().chunks(MAX_INPUT_BYTES) {
        sink.send(Message::binary(input_message(part))).await?;
    }
    sink.send(Message::binary(end_of_input_message())).await
}

/// Receives output until the server reports the result.
async fn receive(
    source: &mut (impl Stream<Item = Result<Message, SocketError>> + Unpin),
) -> Result<CommandStatus, ExecError> {
    let mut result = CommandStatus::default();
    while let Some(message) = source.next().await {
        let Message::Binary(message) = message.map_err(|e| ExecError::Disconnected(e.to_string()))? else { continue };
        match ExecMessage::parse(message.into()) {
            ExecMessage::Stdout(bytes) => result.add_stdout(&bytes),
            ExecMessage::Stderr(bytes) => result.add_stderr(&bytes),
            ExecMessage::Status(status) => return result.with(status),
            ExecMessage::Ignored => {}
        }
    }
    Err(ExecError::Disconnected("it was closed before the command exited".into()))
}

impl CommandStatus {
    fn add_stdout(&mut self, bytes: &[u8]) {
        let room = MAX_OUTPUT_BYTES - self.stdout.len();
        self.truncated |= bytes.len() > room;
        self.stdout.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn add_stderr(&mut self, bytes: &[u8]) {
        self.stderr.extend_from_slice(bytes);
        let excess = self.stderr.len().saturating_sub(MAX_STDERR_BYTES);
        self.stderr.drain(..excess);
    }

    /// Adds the exit code of `status`.
    fn with(mut self, status: KubeStatus) -> Result<Self, ExecError> {
        match (status.outcome.as_str(), status.reason.as_str()) {
            ("Success", _) => Ok(self),
            (_, "NonZeroExitCode") => match exit_code(&status.details.causes) {
                Some(code) => {
                    self.exit_code = code;
                    Ok(self)
                }
                None => Err(ExecError::Failed(status)),
            },
            _ => Err(ExecError::Failed(status)),
        }
    }
}

fn exit_code(causes: &[StatusCause]) -> Option<i32> {
    causes.iter().find(|cause| cause.reason == "ExitCode")?.message.parse().ok()
}

#[cfg(test)]
mod tests {
    use stargate_sdk::FailureKind;

    use super::*;

    #[test]
    fn the_start_of_the_output_and_the_end_of_the_errors_are_kept() {
        let mut result = CommandStatus::default();
        result.add_stdout(&vec![b'a'; MAX_OUTPUT_BYTES]);
        assert!(!result.truncated);
        result.add_stdout(b"b");
        result.add_stderr(&vec![b'c'; MAX_STDERR_BYTES]);
        result.add_stderr(b"the reason");
        assert_eq!((result.stdout.len(), result.truncated), (MAX_OUTPUT_BYTES, true));
        assert_eq!(result.stderr.len(), MAX_STDERR_BYTES);
        assert!(result.stderr.ends_with(b"the reason"));
    }

    #[test]
    fn a_command_that_did_not_reach_the_container_is_transient_and_others_are_unknown() {
        let check = |message: &str, expected| {
            let status = KubeStatus { message: message.into(), ..KubeStatus::default() };
            assert_eq!(failed_error(CallEffect::MayHaveChanged, "x", &status).kind, expected, "{message}");
        };
        check(
            "error sending request: Post \"https://10.0.0.4:10250/exec\": dial tcp 10.0.0.4:10250: i/o timeout",
            FailureKind::Transient,
        );
        check("unable to upgrade connection: container not found (\"c\")", FailureKind::Transient);
        check(
            "OCI runtime exec failed: exec failed: unable to start container process: exec: \"x\": executable file not found in $PATH: unknown",
            FailureKind::Permanent,
        );
        check("error reading from error stream: next reader: unexpected EOF", FailureKind::Unknown);
    }
}
