use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use serde_json::Value;
use stargate_sdk::{ActionContext, ActionError, AttemptSink, ContextParts, DynAction, FindResult, Secrets};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    keeper::Keeper,
    message::{Ended, Message, Saved},
};
use crate::{
    clock::Clock,
    event::{Event, EventKind, Reporter},
    id::RunId,
    journal::LogLine,
    run::{AttemptMode, StepId},
};

/// How long an attempt that is past its deadline, or was cancelled, may take to put its things in order.
const GRACE: Duration = Duration::from_secs(5);
/// Most lines that are kept of one attempt: what a person can still read.
const MOST_LINES: usize = 2_000;

/// Everything that one attempt needs.
pub(super) struct Job {
    pub(super) run: RunId,
    pub(super) step: StepId,
    pub(super) name: String,
    pub(super) attempt: u32,
    pub(super) mode: AttemptMode,
    pub(super) input: Value,
    pub(super) checkpoint: Value,
    pub(super) timeout: Duration,
    pub(super) cancel: CancellationToken,
    pub(super) action: Arc<dyn DynAction>,
    pub(super) secrets: Arc<Secrets>,
    pub(super) reporter: Arc<dyn Reporter>,
    pub(super) keeper: Keeper,
    pub(super) clock: Clock,
    pub(super) dispatcher: mpsc::Sender<Message>,
}

/// Makes the attempt in a task of its own and answers exactly once, also when the action panics or never ends.
pub(super) fn execute(job: Job) {
    tokio::spawn(async move {
        let (run, step, attempt, mode) = (job.run.clone(), job.step, job.attempt, job.mode);
        let dispatcher = job.dispatcher.clone();
        let (result, changes) = attempt_of(job).await;
        let ended = Ended { run, step, attempt, mode, result, changes };
        // A dispatcher that is gone has left the run: the next process finds the attempt in flight.
        let _ = dispatcher.send(Message::Ended(ended)).await;
    });
}

async fn attempt_of(job: Job) -> (Result<FindResult<Value>, ActionError>, Vec<String>) {
    let deadline = Instant::now() + job.timeout;
    let sink = Sink {
        run: job.run.clone(),
        step: job.step,
        name: job.name.clone(),
        attempt: job.attempt,
        lines: AtomicUsize::new(0),
        reporter: job.reporter,
        keeper: job.keeper,
        clock: job.clock,
        dispatcher: job.dispatcher,
    };
    let cx = ActionContext::new(ContextParts {
        run: job.run.as_str().to_owned(),
        step: job.name,
        attempt: job.attempt,
        deadline,
        cancel: job.cancel.clone(),
        checkpoint: Some(job.checkpoint).filter(|value| !value.is_null()),
        sink: Arc::new(sink),
        secrets: job.secrets,
    });
    let call = call(&*job.action, &cx, job.mode, job.input);
    let guarded = AssertUnwindSafe(call).catch_unwind();
    let result = tokio::select! {
        result = guarded => result.unwrap_or_else(|_| Err(ActionError::unknown("the action panicked"))),
        () = too_late(deadline, &job.cancel) => Err(overdue(&job.cancel, job.timeout)),
    };
    (result, cx.changes())
}

async fn call(
    action: &dyn DynAction,
    cx: &ActionContext,
    mode: AttemptMode,
    input: Value,
) -> Result<FindResult<Value>, ActionError> {
    match mode {
        AttemptMode::Run => action.run(cx, input).await.map(FindResult::Present),
        AttemptMode::Find => action.find(cx, input).await,
    }
}

async fn too_late(deadline: Instant, cancel: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep_until(deadline) => {}
        () = cancel.cancelled() => {}
    }
    tokio::time::sleep(GRACE).await;
}

fn overdue(cancel: &CancellationToken, timeout: Duration) -> ActionError {
    if cancel.is_cancelled() {
        ActionError::unknown("interrupted in the middle of a call")
    } else {
        ActionError::unknown(format!("no answer within the step's timeout of {timeout:?}"))
    }
}

struct Sink {
    run: RunId,
    step: StepId,
    name: String,
    attempt: u32,
    /// Lines captured so far.
    lines: AtomicUsize,
    reporter: Arc<dyn Reporter>,
    keeper: Keeper,
    clock: Clock,
    dispatcher: mpsc::Sender<Message>,
}

impl Sink {
    fn keep(&self, text: String) {
        let (run, step) = (self.run.clone(), self.name.clone());
        self.keeper.keep(LogLine { run, step, attempt: self.attempt, at: self.clock.now(), text });
    }

    fn report(&self, news: EventKind) {
        self.reporter.report(Event { at: self.clock.now(), run: self.run.clone(), kind: news });
    }
}

impl AttemptSink for Sink {
    fn progress(&self, message: String) {
        self.report(EventKind::StepProgress { step: self.name.clone(), message });
    }

    fn log(&self, line: String) {
        match self.lines.fetch_add(1, Ordering::Relaxed) {
            0..MOST_LINES => self.keep(line.clone()),
            MOST_LINES => self.keep(format!("(an attempt's first {MOST_LINES} lines are kept, not what follows)")),
            _ => {}
        }
        self.report(EventKind::StepLog { step: self.name.clone(), line });
    }

    fn save_checkpoint(&self, value: Value, changes: Vec<String>) -> BoxFuture<'_, Result<(), ActionError>> {
        Box::pin(async move {
            let lost = |_| ActionError::transient("the engine stopped before the checkpoint was stored");
            let (stored, acknowledged) = oneshot::channel();
            let saved = Saved { step: self.step, attempt: self.attempt, value, changes };
            let message = Message::Checkpoint { run: self.run.clone(), saved, stored };
            self.dispatcher.send(message).await.map_err(|_| ActionError::transient("the engine has stopped"))?;
            acknowledged.await.map_err(lost)?
        })
    }
}
