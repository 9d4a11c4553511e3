use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

/// Output stream of a program: standard output or standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Output,
    Error,
}

/// Destination of a program's output.
#[derive(Debug, Clone)]
pub(super) enum Sink {
    /// Channel to the client of the session.
    Session(mpsc::UnboundedSender<(Stream, Vec<u8>)>, Stream),
    /// Buffer in memory, as for a command substitution or a pipe.
    Buffer(Arc<Mutex<Vec<u8>>>),
    /// End of the file with this path.
    File(String),
    /// No destination: the output is discarded.
    Null,
}

impl Sink {
    /// Returns an empty buffer in memory.
    pub(super) fn buffer() -> Self {
        Self::Buffer(Arc::default())
    }

    /// Removes and returns the bytes that a buffer has received; empty for any other destination.
    pub(super) fn taken(&self) -> Vec<u8> {
        match self {
            Self::Buffer(buffer) => std::mem::take(&mut buffer.lock().unwrap_or_else(PoisonError::into_inner)),
            Self::Session(..) | Self::File(_) | Self::Null => Vec::new(),
        }
    }
}

/// Origin of a program's input.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// Bytes that are not consumed yet.
    Bytes(Arc<Mutex<VecDeque<u8>>>),
    /// Channel from the client of the session.
    Session(Arc<Mutex<Incoming>>),
}

/// Input that arrives while the program runs.
#[derive(Debug)]
pub(super) struct Incoming {
    receiver: mpsc::UnboundedReceiver<Vec<u8>>,
    pending: VecDeque<u8>,
}

impl Source {
    /// Returns an input without any bytes.
    pub(super) fn empty() -> Self {
        Self::bytes(Vec::new())
    }

    /// Returns an input that consists of `bytes`.
    pub(super) fn bytes(bytes: Vec<u8>) -> Self {
        Self::Bytes(Arc::new(Mutex::new(bytes.into())))
    }

    /// Returns an input that a client sends over a channel.
    pub(super) fn session(receiver: mpsc::UnboundedReceiver<Vec<u8>>) -> Self {
        Self::Session(Arc::new(Mutex::new(Incoming { receiver, pending: VecDeque::new() })))
    }

    /// Reads up to the end of the input. Blocks until the client closes it.
    pub(super) fn read(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => std::mem::take(&mut *bytes.lock().unwrap_or_else(PoisonError::into_inner)).into(),
            Self::Session(incoming) => {
                let mut incoming = incoming.lock().unwrap_or_else(PoisonError::into_inner);
                while incoming.more() {}
                std::mem::take(&mut incoming.pending).into()
            }
        }
    }

    /// Reads one line with its line end, or the remaining bytes.
    ///
    /// Returns nothing at the end of the input.
    pub(super) fn read_line(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => line(&mut bytes.lock().unwrap_or_else(PoisonError::into_inner)),
            Self::Session(incoming) => {
                let mut incoming = incoming.lock().unwrap_or_else(PoisonError::into_inner);
                while !incoming.pending.contains(&b'\n') && incoming.more() {}
                line(&mut incoming.pending)
            }
        }
    }
}

impl Incoming {
    /// Waits for more input. Returns false at its end.
    fn more(&mut self) -> bool {
        let arrived = self.receiver.blocking_recv();
        let there = arrived.is_some();
        self.pending.extend(arrived.into_iter().flatten());
        there
    }
}

/// Removes the first line, with its line end, from the buffer.
fn line(bytes: &mut VecDeque<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
    bytes.drain(..end).collect()
}

/// Input, output and error output of a program.
#[derive(Debug, Clone)]
pub(super) struct Io {
    pub(super) input: Source,
    pub(super) output: Sink,
    pub(super) error: Sink,
}
