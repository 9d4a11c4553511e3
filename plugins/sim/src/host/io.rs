use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

/// One of a program's two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Output,
    Error,
}

/// Where a program's output goes.
#[derive(Debug, Clone)]
pub(super) enum Sink {
    /// To whoever runs the session.
    Session(mpsc::UnboundedSender<(Stream, Vec<u8>)>, Stream),
    /// Into memory.
    Buffer(Arc<Mutex<Vec<u8>>>),
    /// To the end of a file.
    File(String),
    /// Nowhere.
    Null,
}

impl Sink {
    pub(super) fn buffer() -> Self {
        Self::Buffer(Arc::default())
    }

    /// What a buffer has taken up.
    pub(super) fn taken(&self) -> Vec<u8> {
        match self {
            Self::Buffer(buffer) => std::mem::take(&mut buffer.lock().unwrap_or_else(PoisonError::into_inner)),
            Self::Session(..) | Self::File(_) | Self::Null => Vec::new(),
        }
    }
}

/// Where a program's input comes from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// From what is left of these bytes.
    Bytes(Arc<Mutex<VecDeque<u8>>>),
    /// From whoever runs the session.
    Session(Arc<Mutex<Incoming>>),
}

/// Input that arrives while the program runs.
#[derive(Debug)]
pub(super) struct Incoming {
    receiver: mpsc::UnboundedReceiver<Vec<u8>>,
    pending: VecDeque<u8>,
}

impl Source {
    pub(super) fn empty() -> Self {
        Self::bytes(Vec::new())
    }

    pub(super) fn bytes(bytes: Vec<u8>) -> Self {
        Self::Bytes(Arc::new(Mutex::new(bytes.into())))
    }

    pub(super) fn session(receiver: mpsc::UnboundedReceiver<Vec<u8>>) -> Self {
        Self::Session(Arc::new(Mutex::new(Incoming { receiver, pending: VecDeque::new() })))
    }

    /// Everything up to the end; waits for it.
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

    /// One line with its end, or what is left; nothing at the end.
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
    fn more(&mut self) -> bool {
        let arrived = self.receiver.blocking_recv();
        let there = arrived.is_some();
        self.pending.extend(arrived.into_iter().flatten());
        there
    }
}

fn line(bytes: &mut VecDeque<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
    bytes.drain(..end).collect()
}

/// A program's input and outputs.
#[derive(Debug, Clone)]
pub(super) struct Io {
    pub(super) input: Source,
    pub(super) output: Sink,
    pub(super) error: Sink,
}
