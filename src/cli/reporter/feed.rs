use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use stargate::{
    event::{Event, Reporter},
    id::RunId,
};

use super::Tally;

/// How often a view may move when nothing happens: ten times a second looks alive and costs nothing.
const FRAME: Duration = Duration::from_millis(100);

/// Shows events. Lives on a thread of its own, so that a slow terminal holds nobody up.
pub(crate) trait Show: Send {
    /// Something happened.
    fn event(&mut self, event: &Event);
    /// Time has passed.
    fn frame(&mut self) {}
    /// Nothing more will come: leave the screen in order.
    fn end(&mut self) {}
}

enum Message {
    Event(Box<Event>),
    End,
}

/// Takes events from the engine and hands them to a [`Show`].
pub(crate) struct Feed {
    events: mpsc::Sender<Message>,
    tally: Mutex<Tally>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Feed {
    /// Starts the thread on which `show` lives.
    pub(crate) fn start(show: Box<dyn Show>) -> Arc<Self> {
        let (events, incoming) = mpsc::channel();
        let thread = std::thread::spawn(move || serve(show, &incoming));
        Arc::new(Self { events, tally: Mutex::default(), thread: Mutex::new(Some(thread)) })
    }

    /// The runs that were heard of.
    pub(crate) fn runs(&self) -> Vec<RunId> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).runs()
    }

    /// Waits until everything has been shown; gives what was counted on the way.
    pub(crate) fn end(&self) -> Tally {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A view that has panicked has said so itself.
            let _ = self.events.send(Message::End);
            let _ = thread.join();
        }
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Reporter for Feed {
    fn report(&self, event: Event) {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).count(&event);
        // Events that come after the end have nobody to see them.
        let _ = self.events.send(Message::Event(Box::new(event)));
    }
}

fn serve(mut show: Box<dyn Show>, incoming: &mpsc::Receiver<Message>) {
    loop {
        match incoming.recv_timeout(FRAME) {
            Ok(Message::Event(event)) => show.event(&event),
            Err(mpsc::RecvTimeoutError::Timeout) => show.frame(),
            Ok(Message::End) | Err(mpsc::RecvTimeoutError::Disconnected) => return show.end(),
        }
    }
}
