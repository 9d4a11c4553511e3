use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::exec_request::ExecRequest;
use super::status::Refusal;
use crate::host::{Container, Ended, Running, Stream};
use crate::world::Shared;

/// Channel of the input of the command.
const STDIN: u8 = 0;
/// Channel of its standard output.
const STDOUT: u8 = 1;
/// Channel of its standard error.
const STDERR: u8 = 2;
/// Channel of the final `Status`.
const ERROR: u8 = 3;
/// First byte of a message that closes the channel named by the next byte, as v5 defines it.
const CLOSE: u8 = 255;

/// Maximum size of the output in one message, in bytes.
const LARGEST: usize = 32 << 10;

/// Subprotocol that multiplexes the streams of a command on one connection.
///
/// Each message is binary, and its first byte is the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Protocol in which the input can be closed separately.
    V5,
    /// Protocol in which the input ends with the connection.
    V4,
}

impl Protocol {
    /// Returns the name in `Sec-WebSocket-Protocol`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::V5 => "v5.channel.k8s.io",
            Self::V4 => "v4.channel.k8s.io",
        }
    }

    /// Returns the protocol of a name; `None` for others.
    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::V5, Self::V4].into_iter().find(|each| each.name() == name)
    }

    /// Returns the `Status` that reports the exit of a command.
    fn status(self, words: &[String], ended: &Ended) -> Value {
        match ended {
            Ended::Exited(0) => json!({ "metadata": {}, "status": "Success" }),
            Ended::Exited(code) => self.exit_status(words, *code),
            Ended::NotStarted(why) => {
                let id = identifier(words);
                let why = format!(
                    "error executing command in container: failed to exec in container: failed to start exec \"{id}\": {why}"
                );
                let message = internal(&why);
                // With v5 the API server wraps the message of the kubelet in its own.
                if self == Self::V5 { internal_error(&message) } else { internal_error(&why) }
            }
        }
    }

    /// Returns the `Status` of a command that exited with a code other than 0.
    fn exit_status(self, words: &[String], code: i32) -> Value {
        let why = match self {
            Self::V5 => format!("command terminated with exit code {code}"),
            Self::V4 => format!("error executing command [{}], exit code {code}", words.join(" ")),
        };
        json!({
            "metadata": {},
            "status": "Failure",
            "message": format!("command terminated with non-zero exit code: {why}"),
            "reason": "NonZeroExitCode",
            "details": { "causes": [{ "reason": "ExitCode", "message": code.to_string() }] },
        })
    }
}

/// Returns a stable identifier of the command, where containerd uses a random one.
fn identifier(words: &[String]) -> String {
    let digest = Sha256::digest(words.join(" "));
    digest
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// Returns the message of an internal error.
fn internal(why: &str) -> String {
    format!("Internal error occurred: {why}")
}

/// Returns the `Status` of an internal error without `kind` and `apiVersion`, as the error channel
/// has it.
fn internal_error(why: &str) -> Value {
    let details = json!({ "causes": [{ "message": why }] });
    let mut body = *Refusal::new(500, "InternalError", &internal(why), Some(details)).body;
    if let Some(body) = body.as_object_mut() {
        body.retain(|key, _| key != "kind" && key != "apiVersion");
    }
    body
}

/// Reports in the error channel that the command is not run, and closes the connection.
pub(super) async fn refuse(mut socket: WebSocket, why: &str) {
    finish(&mut socket, &internal_error(why)).await;
}

/// Runs a command until it exits or the client disconnects.
///
/// Forwards input and output, reports the exit in the error channel, and closes the connection.
pub(super) async fn converse(
    mut socket: WebSocket,
    protocol: Protocol,
    shared: &Shared,
    container: &Container,
    request: ExecRequest,
) {
    let mut running = container.start(shared, request.words.clone(), request.tty);
    if !request.stdin {
        running.end_input();
    }
    loop {
        tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(message)) => hear(&mut socket, &mut running, &request, &message).await,
                // The command continues without a client, as on a real node.
                Some(Err(_)) | None => return,
            },
            said = running.said() => match said {
                Some((stream, bytes)) => say(&mut socket, &request, stream, &bytes).await,
                None => break,
            },
        }
    }
    let ended = running.ended().await;
    finish(&mut socket, &protocol.status(&request.words, &ended)).await;
}

/// Handles one message of the client. A terminal echoes the input.
async fn hear(socket: &mut WebSocket, running: &mut Running, request: &ExecRequest, message: &Message) {
    let Message::Binary(bytes) = message else { return };
    match bytes.as_ref() {
        [CLOSE, STDIN, ..] => running.end_input(),
        [STDIN, typed @ ..] if request.stdin => {
            let echo = running.give(typed);
            say(socket, request, Stream::Output, &echo).await;
        }
        // No simulated program uses the size of the window, so resize messages are ignored.
        _ => {}
    }
}

/// Sends output of the command, in parts of at most [`LARGEST`] bytes. Output of a stream that is
/// not attached is dropped.
async fn say(socket: &mut WebSocket, request: &ExecRequest, stream: Stream, bytes: &[u8]) {
    let (channel, is_attached) = match stream {
        Stream::Output => (STDOUT, request.stdout),
        Stream::Error => (STDERR, request.stderr),
    };
    for part in bytes.chunks(LARGEST).filter(|_| is_attached) {
        send(socket, channel, part).await;
    }
}

/// Sends the final status and closes the connection.
async fn finish(socket: &mut WebSocket, status: &Value) {
    send(socket, ERROR, status.to_string().as_bytes()).await;
    let end = CloseFrame { code: close_code::NORMAL, reason: "".into() };
    drop(socket.send(Message::Close(Some(end))).await);
}

/// Sends one message. Errors are ignored, because the next receive reports a client that has
/// disconnected.
async fn send(socket: &mut WebSocket, channel: u8, bytes: &[u8]) {
    drop(socket.send(Message::Binary([&[channel], bytes].concat().into())).await);
}
