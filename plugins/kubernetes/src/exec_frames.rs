//! The messages of `v5.channel.k8s.io` and `v4.channel.k8s.io`: the first byte says which stream the rest belongs to.

use crate::failure::Status;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
const CLOSE: u8 = 255;

/// Largest part of the input that goes into one message; what kubectl sends at once.
pub(crate) const LARGEST_INPUT: usize = 32 << 10;

/// What the server says.
pub(crate) enum Event {
    /// Part of the command's output.
    Output(Vec<u8>),
    /// Part of its error output.
    Error(Vec<u8>),
    /// How it ended.
    Status(Status),
    /// Nothing that matters.
    Other,
}

impl Event {
    /// Reads a message.
    pub(crate) fn read(mut message: Vec<u8>) -> Self {
        let Some(&stream) = message.first() else { return Self::Other };
        match stream {
            STDOUT => Self::Output(message.split_off(1)),
            STDERR => Self::Error(message.split_off(1)),
            STATUS if message.len() > 1 => Self::Status(status(&message[1..])),
            _ => Self::Other,
        }
    }
}

fn status(body: &[u8]) -> Status {
    serde_json::from_slice(body)
        .unwrap_or_else(|_| Status { message: String::from_utf8_lossy(body).into_owned(), ..Status::default() })
}

/// Part of the command's input.
pub(crate) fn input(part: &[u8]) -> Vec<u8> {
    [&[STDIN], part].concat()
}

/// That there is no more input.
pub(crate) fn end_of_input() -> Vec<u8> {
    vec![CLOSE, STDIN]
}
