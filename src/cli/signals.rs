//! Signals that ask the process to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;

/// Listener for SIGINT and SIGTERM.
pub(crate) struct SignalListener {
    interrupt: Signal,
    terminate: Signal,
}

impl SignalListener {
    /// Starts to listen. From then on these signals do not end the process.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Failure::internal(format!("listen for signals: {error}")));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Waits for the next signal.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
