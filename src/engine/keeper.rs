use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};

use crate::journal::{Journal, LogLine};

/// Lines that may wait; those that come while as many do are lost, and their number is told.
const CHANNEL: usize = 4096;
/// How long lines are gathered before they are written: each write is a flush of the disk.
const GATHER: Duration = Duration::from_millis(250);
/// Most lines of one write.
const BATCH: usize = 1024;

enum Message {
    Line(LogLine),
    Flush(oneshot::Sender<()>),
}

/// Writes the lines that attempts capture to the journal, behind their backs.
///
/// Lines are for people: one that cannot be kept holds nobody up, and a crash loses those of the last moment.
#[derive(Clone)]
pub(super) struct Keeper {
    messages: mpsc::Sender<Message>,
    lost: Arc<AtomicUsize>,
}

impl Keeper {
    /// Starts on the current runtime; ends when the last clone is dropped.
    pub(super) fn start(journal: Arc<dyn Journal>) -> Self {
        let (messages, incoming) = mpsc::channel(CHANNEL);
        tokio::spawn(serve(journal, incoming));
        Self { messages, lost: Arc::default() }
    }

    /// Keeps a line, unless too many wait.
    pub(super) fn keep(&self, line: LogLine) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let text = format!("({lost} lines came too fast and were not kept)");
            self.send(LogLine { text, ..line.clone() }, lost);
        }
        self.send(line, 1);
    }

    fn send(&self, line: LogLine, stands_for: usize) {
        if self.messages.try_send(Message::Line(line)).is_err() {
            self.lost.fetch_add(stands_for, Ordering::Relaxed);
        }
    }

    /// Waits until every line so far is written, or cannot be.
    pub(super) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.messages.send(Message::Flush(done)).await.is_ok() {
            // A keeper that has ended keeps nothing more.
            let _ = flushed.await;
        }
    }
}

async fn serve(journal: Arc<dyn Journal>, mut incoming: mpsc::Receiver<Message>) {
    while let Some(first) = incoming.recv().await {
        let batch = gather(first, &mut incoming).await;
        write(&*journal, batch).await;
    }
}

/// Waits for more, unless somebody waits for what there is.
async fn gather(first: Message, incoming: &mut mpsc::Receiver<Message>) -> Vec<Message> {
    let until = Instant::now() + GATHER;
    let mut batch = vec![first];
    while batch.len() < BATCH && !matches!(batch.last(), Some(Message::Flush(_))) {
        match timeout_at(until, incoming.recv()).await {
            Ok(Some(message)) => batch.push(message),
            Ok(None) | Err(_) => break,
        }
    }
    batch
}

async fn write(journal: &dyn Journal, batch: Vec<Message>) {
    let (mut lines, mut waiting) = (Vec::new(), Vec::new());
    for message in batch {
        match message {
            Message::Line(line) => lines.push(line),
            Message::Flush(done) => waiting.push(done),
        }
    }
    if !lines.is_empty()
        && let Err(error) = journal.log(lines).await
    {
        tracing::warn!(%error, "captured lines could not be kept");
    }
    for done in waiting {
        let _ = done.send(()); // whoever waited may have gone
    }
}
