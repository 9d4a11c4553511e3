//! Messages of the protocols `v5.channel.k8s.io` and `v4.channel.k8s.io`: the first byte is the
//! number of the stream, the rest is the payload.

use crate::KubeStatus;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
const CLOSE: u8 = 255;

/// Largest part of the input in one message, in bytes; the size that kubectl uses.
pub(crate) const MAX_INPUT_BYTES: usize = 32 << 10;

/// A message of the server.
pub(crate) enum ExecMessage {
    /// Part of the command's standard output.
    Stdout(Vec<u8>),
    /// Part of the command's standard error.
    Stderr(Vec<u8>),
    /// Result of the command.
    Status(KubeStatus),
    /// A message without meaning for this client.
    Ignored,
}

impl ExecMessage {
    /// Parses a message.
    pub(crate) fn parse(mut message: Vec<u8>) -> Self {
        let Some(&stream) = message.first() else { return Self::Ignored };
        match stream {
            STDOUT => Self::Stdout(message.split_off(1)),
            STDERR => Self::Stderr(message.split_off(1)),
            STATUS if message.len() > 1 => Self::Status(parse_status(&message[1..])),
            _ => Self::Ignored,
        }
    }
}

/// Parses a `Status` object; another text becomes its message.
fn parse_status(body: &[u8]) -> KubeStatus {
    serde_json::from_slice(body)
        .unwrap_or_else(|_| KubeStatus { message: String::from_utf8_lossy(body).into_owned(), ..KubeStatus::default() })
}

/// Message with a part of the command's input.
pub(crate) fn input_message(part: &[u8]) -> Vec<u8> {
    [&[STDIN], part].concat()
}

/// Message that ends the command's input; version 5 of the protocol has it.
pub(crate) fn end_of_input_message() -> Vec<u8> {
    vec![CLOSE, STDIN]
}
