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

/// How often a view may move when nothing happens: ten times a second looks alive and costs nothing.
const FRAME: Duration = Duration::from_millis(100);

/// Shows events. Lives on a thread of its own, so that a slow terminal holds nobody up.
pub(crate) trait EventView: Send {
    /// Something happened.
    fn event(&mut self, event: &Event);
    /// Time has passed.
    fn frame(&mut self) {}
    /// Nothing more will come: leave the screen in order.
    fn end(&mut self) {}
}

enum ViewMessage {
    Event(Box<Event>),
    End,
}

/// Takes events from the engine and hands them to a [`EventView`].
pub(crate) struct ReporterAdapter {
    events: mpsc::Sender<ViewMessage>,
    summary: Mutex<Summary>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl ReporterAdapter {
    /// Starts the thread on which `show` lives.
    pub(crate) fn start(show: Box<dyn EventView>) -> Arc<Self> {
        let (events, incoming) = mpsc::channel();
        let thread = std::thread::spawn(move || serve(show, &incoming));
        Arc::new(Self { events, summary: Mutex::default(), thread: Mutex::new(Some(thread)) })
    }

    /// The runs that were heard of.
    pub(crate) fn runs(&self) -> Vec<RunId> {
        self.summary.lock().unwrap_or_else(PoisonError::into_inner).runs()
    }

    /// Waits until everything has been shown; gives what was counted on the way.
    pub(crate) fn end(&self) -> Summary {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A view that has panicked has said so itself.
            let _ = self.events.send(ViewMessage::End);
            let _ = thread.join();
        }
        self.summary.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Reporter for ReporterAdapter {
    fn report(&self, event: Event) {
        self.summary.lock().unwrap_or_else(PoisonError::into_inner).count(&event);
        // Events that come after the end have nobody to see them.
        let _ = self.events.send(ViewMessage::Event(Box::new(event)));
    }
}

fn serve(mut show: Box<dyn EventView>, incoming: &mpsc::Receiver<ViewMessage>) {
    loop {
        match incoming.recv_timeout(FRAME) {
            Ok(ViewMessage::Event(event)) => show.event(&event),
            Err(mpsc::RecvTimeoutError::Timeout) => show.frame(),
            Ok(ViewMessage::End) | Err(mpsc::RecvTimeoutError::Disconnected) => return show.end(),
        }
    }
}
