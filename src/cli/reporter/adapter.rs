//! Connection between the engine's reporter, which must not block, and a view that may.

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use stargate::{
    event::{Event, Reporter},
    id::RunId,
};

use super::Summary;

/// Interval between two frames of a view without events, enough for an animation.
const FRAME: Duration = Duration::from_millis(100);

/// View of events, on a thread of its own: a slow terminal does not delay the engine.
pub(crate) trait EventView: Send {
    /// Shows an event.
    fn event(&mut self, event: &Event);
    /// Draws the next frame. Called at intervals of [`FRAME`] without events.
    fn frame(&mut self) {}
    /// Cleans the screen up. No event follows.
    fn end(&mut self) {}
}

/// Message to the thread of the view.
enum ViewMessage {
    Event(Box<Event>),
    End,
}

/// Reporter that counts events and sends them to an [`EventView`].
pub(crate) struct ReporterAdapter {
    events: mpsc::Sender<ViewMessage>,
    summary: Mutex<Summary>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl ReporterAdapter {
    /// Starts the thread of the view.
    pub(crate) fn start(show: Box<dyn EventView>) -> Arc<Self> {
        let (events, incoming) = mpsc::channel();
        let thread = std::thread::spawn(move || serve(show, &incoming));
        Arc::new(Self { events, summary: Mutex::default(), thread: Mutex::new(Some(thread)) })
    }

    /// Returns the runs that had events.
    pub(crate) fn runs(&self) -> Vec<RunId> {
        self.summary.lock().unwrap_or_else(PoisonError::into_inner).runs()
    }

    /// Waits until the view has shown all events, ends it and returns the counts.
    pub(crate) fn end(&self) -> Summary {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A view that panicked has printed the reason.
            let _ = self.events.send(ViewMessage::End);
            let _ = thread.join();
        }
        self.summary.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Reporter for ReporterAdapter {
    fn report(&self, event: Event) {
        self.summary.lock().unwrap_or_else(PoisonError::into_inner).count(&event);
        // The view may have ended before the last events.
        let _ = self.events.send(ViewMessage::Event(Box::new(event)));
    }
}

/// Runs the view: an event is shown immediately, and frames are drawn while there is none.
fn serve(mut show: Box<dyn EventView>, incoming: &mpsc::Receiver<ViewMessage>) {
    loop {
        match incoming.recv_timeout(FRAME) {
            Ok(ViewMessage::Event(event)) => show.event(&event),
            Err(mpsc::RecvTimeoutError::Timeout) => show.frame(),
            Ok(ViewMessage::End) | Err(mpsc::RecvTimeoutError::Disconnected) => return show.end(),
        }
    }
}
