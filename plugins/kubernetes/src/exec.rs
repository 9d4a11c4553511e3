use std::{convert::Infallible, time::Duration};

use futures::{Sink, SinkExt, Stream, StreamExt};
use http::{HeaderMap, StatusCode};
use stargate_sdk::{ActionContext, ActionError};
use tokio_tungstenite::tungstenite::{Bytes, Error as SocketError, Message};

use crate::{
    api::Api,
    call::Call,
    exec_frames::{Event, LARGEST_INPUT, end_of_input, input},
    failure::{Cause, Effect, Status, refused, unanswered},
    kind::{At, PODS},
};

/// Longest output that is kept: it is stored with the step.
pub(crate) const LONGEST_OUTPUT: usize = 64 << 10;
/// How much of the end of the error output is kept: the reason stands there.
const LONGEST_REASON: usize = 2 << 10;
/// Balancers and address translators forget a connection on which nothing is said for some minutes.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// A command for a container.
pub(crate) struct Command<'a> {
    pub(crate) at: At<'a>,
    pub(crate) container: &'a str,
    pub(crate) words: &'a [String],
    /// What it reads; nothing is attached to it if there is none.
    pub(crate) stdin: Option<&'a str>,
    pub(crate) effect: Effect,
}

/// A command that has ended by itself.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    pub(crate) exit_code: i32,
    /// The beginning of its output.
    pub(crate) stdout: Vec<u8>,
    /// Whether there was more.
    pub(crate) truncated: bool,
    /// The end of its error output.
    pub(crate) stderr: Vec<u8>,
}

impl Api {
    /// Runs a command in a container to its end.
    ///
    /// An error says whether the command may have run: `Unknown` if it may, and if it changes something. Stopping to wait
    /// does not stop it: Kubernetes has no way to.
    pub(crate) async fn exec(&self, cx: &ActionContext, command: &Command<'_>) -> Result<Ended, ActionError> {
        let name = command.name();
        let in_doubt = |why: &str| Err(command.effect.in_doubt(format!("{name}: {why}")));
        tokio::select! {
            ended = self.converse(command, &name) => ended,
            () = tokio::time::sleep(cx.remaining()) => in_doubt("it has not ended within the step's timeout"),
            () = cx.cancellation().cancelled() => in_doubt("interrupted while it ran"),
        }
    }

    async fn converse(&self, command: &Command<'_>, name: &str) -> Result<Ended, ActionError> {
        let request = command.call().upgrade()?;
        let connection = self.client().await?.connect(request).await.map_err(|e| command.unopened(name, &e))?;
        if command.stdin.is_some() && !connection.supports_stream_close() {
            let why = "this API server cannot tell the command where its input ends (Kubernetes 1.30 and later can)";
            return Err(command.effect.in_doubt(format!("{name}: {why}")));
        }
        let (mut sink, mut source) = connection.into_stream().split();
        // A command that is given much may say much before it has read all: both directions go on at once.
        tokio::select! {
            ended = listen(&mut source) => ended.map_err(|broken| broken.judge(command, name)),
            never = speak(&mut sink, command.stdin) => match never {},
        }
    }
}

impl Command<'_> {
    fn name(&self) -> String {
        let At { namespace, name } = self.at;
        // Not all its words: a script is no name.
        let program = self.words.first().map_or("", String::as_str);
        format!("command {program:?} in pod {}/{name}", namespace.unwrap_or_default())
    }

    fn call(&self) -> Call {
        let mut call = Call::read(PODS.object(self.at, Some("exec")));
        for word in self.words {
            call = call.with("command", word);
        }
        call = call.with("container", self.container).with("stdout", "true").with("stderr", "true");
        if self.stdin.is_some() { call.with("stdin", "true") } else { call }
    }

    /// Judges a connection that was not opened.
    fn unopened(&self, name: &str, error: &kube::Error) -> ActionError {
        let kube::Error::Api(status) = error else { return unanswered(self.effect, name, error) };
        let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let effect = if began_nothing(&status.message) { Effect::None } else { self.effect };
        let body = serde_json::to_vec(status).unwrap_or_default();
        refused(effect, name, code, &HeaderMap::new(), &body).into()
    }
}

/// Why there is no exit code.
enum Broken {
    /// The connection ended before the command did.
    Lost(String),
    /// The server says that the command was not run to its end.
    Told(Status),
}

impl Broken {
    fn judge(self, command: &Command<'_>, name: &str) -> ActionError {
        match self {
            Self::Lost(why) => command.effect.in_doubt(format!("{name}: the connection was lost: {why}")),
            Self::Told(status) => told(command.effect, name, &status),
        }
    }
}

fn told(effect: Effect, name: &str, status: &Status) -> ActionError {
    let message = format!("{name}: {}", status.message);
    let error = if cannot_start(&status.message) {
        ActionError::permanent(message).with_hint("no shell is added: name a program of the image, or `[sh, -c, …]`")
    } else if began_nothing(&status.message) {
        ActionError::transient(message)
    } else {
        effect.in_doubt(message)
    };
    if status.reason.is_empty() { error } else { error.with_code(&status.reason) }
}

/// The runtime has no such program, or may not start it.
fn cannot_start(message: &str) -> bool {
    message.contains("unable to start container process")
}

/// Nobody who could run the command has heard of it.
fn began_nothing(message: &str) -> bool {
    let unheard =
        ["error dialing backend", ": dial tcp ", "No agent available", "proxy error from", "container not found"];
    unheard.iter().any(|words| message.contains(words))
}

/// Gives the command its input, and keeps the connection alive. Never ends: that it is lost is told by the other direction.
async fn speak(sink: &mut (impl Sink<Message, Error = SocketError> + Unpin), stdin: Option<&str>) -> Infallible {
    // Whoever ends early leaves its input unread, which is no failure.
    if give(sink, stdin).await.is_ok() {
        let mut turns = tokio::time::interval(PING_INTERVAL);
        while sink.send(Message::Ping(Bytes::new())).await.is_ok() {
            turns.tick().await;
        }
    }
    std::future::pending().await
}

/// Sends the command its input, and then that this was all.
async fn give(
    sink: &mut (impl Sink<Message, Error = SocketError> + Unpin),
    stdin: Option<&str>,
) -> Result<(), SocketError> {
    let Some(stdin) = stdin else { return Ok(()) };
    for part in stdin.as_bytes().chunks(LARGEST_INPUT) {
        sink.send(Message::binary(input(part))).await?;
    }
    sink.send(Message::binary(end_of_input())).await
}

/// Takes what the command says until the server says how it ended.
async fn listen(source: &mut (impl Stream<Item = Result<Message, SocketError>> + Unpin)) -> Result<Ended, Broken> {
    let mut ended = Ended::default();
    while let Some(message) = source.next().await {
        let Message::Binary(message) = message.map_err(|e| Broken::Lost(e.to_string()))? else { continue };
        match Event::read(message.into()) {
            Event::Output(bytes) => ended.take_output(&bytes),
            Event::Error(bytes) => ended.take_error(&bytes),
            Event::Status(status) => return ended.with(status),
            Event::Other => {}
        }
    }
    Err(Broken::Lost("it was closed before the command had ended".into()))
}

impl Ended {
    fn take_output(&mut self, bytes: &[u8]) {
        let room = LONGEST_OUTPUT - self.stdout.len();
        self.truncated |= bytes.len() > room;
        self.stdout.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn take_error(&mut self, bytes: &[u8]) {
        self.stderr.extend_from_slice(bytes);
        let over = self.stderr.len().saturating_sub(LONGEST_REASON);
        self.stderr.drain(..over);
    }

    /// Adds how it ended.
    fn with(mut self, status: Status) -> Result<Self, Broken> {
        match (status.outcome.as_str(), status.reason.as_str()) {
            ("Success", _) => Ok(self),
            (_, "NonZeroExitCode") => match exit_code(&status.details.causes) {
                Some(code) => {
                    self.exit_code = code;
                    Ok(self)
                }
                None => Err(Broken::Told(status)),
            },
            _ => Err(Broken::Told(status)),
        }
    }
}

fn exit_code(causes: &[Cause]) -> Option<i32> {
    causes.iter().find(|cause| cause.reason == "ExitCode")?.message.parse().ok()
}

#[cfg(test)]
mod tests {
    use stargate_sdk::FailureKind;

    use super::*;

    #[test]
    fn only_the_end_of_the_errors_and_the_beginning_of_the_output_are_kept() {
        let mut ended = Ended::default();
        ended.take_output(&vec![b'a'; LONGEST_OUTPUT]);
        assert!(!ended.truncated);
        ended.take_output(b"b");
        ended.take_error(&vec![b'c'; LONGEST_REASON]);
        ended.take_error(b"the reason");
        assert_eq!((ended.stdout.len(), ended.truncated), (LONGEST_OUTPUT, true));
        assert_eq!(ended.stderr.len(), LONGEST_REASON);
        assert!(ended.stderr.ends_with(b"the reason"));
    }

    #[test]
    fn what_never_reached_the_container_is_transient_and_what_may_have_is_in_doubt() {
        let check = |message: &str, expected| {
            let status = Status { message: message.into(), ..Status::default() };
            assert_eq!(told(Effect::Possible, "x", &status).kind, expected, "{message}");
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
