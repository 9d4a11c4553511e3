use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::exec_request::ExecRequest;
use super::status::Refusal;
use crate::host::{Container, Ended, Running, Stream};
use crate::world::Shared;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const CLOSE: u8 = 255;

/// Most bytes of output in one message.
const LARGEST: usize = 32 << 10;

/// How the streams of a command share a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// The input can be ended without ending the connection.
    V5,
    V4,
}

impl Protocol {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::V5 => "v5.channel.k8s.io",
            Self::V4 => "v4.channel.k8s.io",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::V5, Self::V4].into_iter().find(|each| each.name() == name)
    }

    /// The `Status` that tells how a command ended.
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
                // The kubelet's word, and the API server's on top of it.
                if self == Self::V5 { internal_error(&message) } else { internal_error(&why) }
            }
        }
    }

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

/// What containerd calls the command.
fn identifier(words: &[String]) -> String {
    let digest = Sha256::digest(words.join(" "));
    digest
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

fn internal(why: &str) -> String {
    format!("Internal error occurred: {why}")
}

fn internal_error(why: &str) -> Value {
    let details = json!({ "causes": [{ "message": why }] });
    let mut body = *Refusal::new(500, "InternalError", &internal(why), Some(details)).body;
    if let Some(body) = body.as_object_mut() {
        body.retain(|key, _| key != "kind" && key != "apiVersion");
    }
    body
}

/// Tells why nothing is run.
pub(super) async fn refuse(mut socket: WebSocket, why: &str) {
    finish(&mut socket, &internal_error(why)).await;
}

/// Runs a command to its end, or until the client goes.
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
                // The command goes on without anybody, as the real one does.
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

async fn hear(socket: &mut WebSocket, running: &mut Running, request: &ExecRequest, message: &Message) {
    let Message::Binary(bytes) = message else { return };
    match bytes.as_ref() {
        [CLOSE, STDIN, ..] => running.end_input(),
        [STDIN, typed @ ..] if request.stdin => {
            let echo = running.give(typed);
            say(socket, request, Stream::Output, &echo).await;
        }
        // The size of the window matters to no program here.
        _ => {}
    }
}

async fn say(socket: &mut WebSocket, request: &ExecRequest, stream: Stream, bytes: &[u8]) {
    let (channel, is_attached) = match stream {
        Stream::Output => (STDOUT, request.stdout),
        Stream::Error => (STDERR, request.stderr),
    };
    for part in bytes.chunks(LARGEST).filter(|_| is_attached) {
        send(socket, channel, part).await;
    }
}

async fn finish(socket: &mut WebSocket, status: &Value) {
    send(socket, ERROR, status.to_string().as_bytes()).await;
    let end = CloseFrame { code: close_code::NORMAL, reason: "".into() };
    drop(socket.send(Message::Close(Some(end))).await);
}

/// A client that has gone is seen when it is next listened to.
async fn send(socket: &mut WebSocket, channel: u8, bytes: &[u8]) {
    drop(socket.send(Message::Binary([&[channel], bytes].concat().into())).await);
}
