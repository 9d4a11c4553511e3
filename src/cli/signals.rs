use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;

/// The wishes to stop that reach this process: SIGINT and SIGTERM.
pub(crate) struct SignalListener {
    interrupt: Signal,
    terminate: Signal,
}

impl SignalListener {
    /// From now on the signals no longer end the process by themselves.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Failure::internal(format!("listen for signals: {error}")));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
