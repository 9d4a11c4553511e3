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

/// Maximum number of lines that wait to be written. Further lines are dropped and counted.
const MAX_PENDING: usize = 4096;
/// Time for which lines are collected before they are written: each write flushes the disk.
const FLUSH_INTERVAL: Duration = Duration::from_millis(250);
/// Maximum number of lines of one write.
const MAX_BATCH: usize = 1024;

enum LogMessage {
    Line(LogLine),
    Flush(oneshot::Sender<()>),
}

/// Writes captured log lines to the journal in the background.
///
/// Log lines are not part of the run's state: writing them delays no attempt, too many at a time
/// are dropped, and a crash loses the lines of the last [`FLUSH_INTERVAL`].
#[derive(Clone)]
pub(super) struct LogWriter {
    messages: mpsc::Sender<LogMessage>,
    /// Number of lines that were dropped and not reported yet.
    dropped: Arc<AtomicUsize>,
}

impl LogWriter {
    /// Starts the writer on the current runtime. It ends when the last clone is dropped.
    pub(super) fn start(journal: Arc<dyn Journal>) -> Self {
        let (messages, incoming) = mpsc::channel(MAX_PENDING);
        tokio::spawn(serve(journal, incoming));
        Self { messages, dropped: Arc::default() }
    }

    /// Queues a line, after a line that reports how many were dropped since.
    pub(super) fn write(&self, line: LogLine) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let text = format!("({dropped} lines were not kept: too many at a time)");
            self.send(LogLine { text, ..line.clone() }, dropped);
        }
        self.send(line, 1);
    }

    fn send(&self, line: LogLine, line_count: usize) {
        if self.messages.try_send(LogMessage::Line(line)).is_err() {
            self.dropped.fetch_add(line_count, Ordering::Relaxed);
        }
    }

    /// Waits until each line so far is written or its write has failed.
    pub(super) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.messages.send(LogMessage::Flush(done)).await.is_ok() {
            // An error means that the writer has ended and writes nothing more.
            let _ = flushed.await;
        }
    }
}

async fn serve(journal: Arc<dyn Journal>, mut incoming: mpsc::Receiver<LogMessage>) {
    while let Some(first) = incoming.recv().await {
        let batch = collect_batch(first, &mut incoming).await;
        write(&*journal, batch).await;
    }
}

/// Collects messages until the batch is full, the interval has passed or a flush is requested.
async fn collect_batch(first: LogMessage, incoming: &mut mpsc::Receiver<LogMessage>) -> Vec<LogMessage> {
    let until = Instant::now() + FLUSH_INTERVAL;
    let mut batch = vec![first];
    while batch.len() < MAX_BATCH && !matches!(batch.last(), Some(LogMessage::Flush(_))) {
        match timeout_at(until, incoming.recv()).await {
            Ok(Some(message)) => batch.push(message),
            Ok(None) | Err(_) => break,
        }
    }
    batch
}

async fn write(journal: &dyn Journal, batch: Vec<LogMessage>) {
    let (mut lines, mut flushes) = (Vec::new(), Vec::new());
    for message in batch {
        match message {
            LogMessage::Line(line) => lines.push(line),
            LogMessage::Flush(done) => flushes.push(done),
        }
    }
    if !lines.is_empty()
        && let Err(error) = journal.log(lines).await
    {
        tracing::warn!(%error, "cannot write captured log lines");
    }
    for done in flushes {
        let _ = done.send(()); // the caller may have stopped waiting
    }
}
