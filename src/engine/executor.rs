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
use stargate_sdk::{
    ActionContext, ActionError, AttemptSink, Circuits, ContextParts, DynAction, FindResult, RunLease, Secrets, Target,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    binding::RunBinding,
    log_writer::LogWriter,
    message::{AttemptEnded, CheckpointRequest, DispatcherMessage},
};
use crate::{
    clock::Clock,
    event::{Event, EventKind, Reporter},
    id::RunId,
    journal::LogLine,
    run::{AttemptMode, StepId},
};

/// Grace period of an attempt that was cancelled or is past its deadline.
const CANCEL_GRACE: Duration = Duration::from_secs(5);
/// Maximum number of log lines kept per attempt: as many as an operator can read.
const MAX_LOG_LINES: usize = 2_000;

/// One attempt to make, with everything that it needs.
pub(super) struct AttemptJob {
    pub(super) run: RunId,
    pub(super) step: StepId,
    /// Name of the step, with its key.
    pub(super) name: String,
    pub(super) attempt: u32,
    /// Number of requests to execute the step again although it had a result.
    pub(super) repetition: u32,
    pub(super) mode: AttemptMode,
    pub(super) input: Value,
    /// Latest checkpoint of the step; `null` if there is none.
    pub(super) checkpoint: Value,
    pub(super) timeout: Duration,
    pub(super) cancel: CancellationToken,
    pub(super) action: Arc<dyn DynAction>,
    /// External system that the action works on.
    pub(super) target: Option<Arc<dyn Target>>,
    pub(super) binding: Arc<RunBinding>,
    pub(super) secrets: Arc<Secrets>,
    pub(super) reporter: Arc<dyn Reporter>,
    pub(super) lease: Arc<RunLease>,
    pub(super) circuits: Arc<Circuits>,
    pub(super) log_writer: LogWriter,
    pub(super) clock: Clock,
    pub(super) dispatcher: mpsc::Sender<DispatcherMessage>,
}

/// Makes the attempt in its own task and reports its result exactly once, even if the action panics
/// or never returns.
pub(super) fn execute(job: AttemptJob) {
    tokio::spawn(async move {
        let (run, step, attempt, mode) = (job.run.clone(), job.step, job.attempt, job.mode);
        let dispatcher = job.dispatcher.clone();
        let (result, changes) = run_attempt(job).await;
        let ended = AttemptEnded { run, step, attempt, mode, result, changes };
        // A dispatcher that has ended has released its runs: the next owner finds the attempt
        // running.
        let _ = dispatcher.send(DispatcherMessage::AttemptEnded(ended)).await;
    });
}

async fn run_attempt(job: AttemptJob) -> (Result<FindResult<Value>, ActionError>, Vec<String>) {
    let deadline = Instant::now() + job.timeout;
    let dispatcher = job.dispatcher.clone();
    let sink = JournalingSink {
        run: job.run.clone(),
        step: job.step,
        name: job.name.clone(),
        attempt: job.attempt,
        line_count: AtomicUsize::new(0),
        reporter: job.reporter,
        log_writer: job.log_writer,
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
        lease: job.lease,
        circuits: job.circuits,
    })
    .of_repetition(job.repetition);
    let call = async {
        if let Some(target) = &job.target {
            job.binding.check_target(&cx, &**target, &dispatcher).await?;
        }
        call(&*job.action, &cx, job.mode, job.input).await
    };
    let guarded = AssertUnwindSafe(call).catch_unwind();
    let result = tokio::select! {
        result = guarded => result.unwrap_or_else(|_| Err(ActionError::unknown("the action panicked"))),
        () = wait_for_deadline(deadline, &job.cancel) => Err(timeout_error(&job.cancel, job.timeout)),
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

/// Waits until the attempt is past its deadline or cancelled, and then for the grace period.
async fn wait_for_deadline(deadline: Instant, cancel: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep_until(deadline) => {}
        () = cancel.cancelled() => {}
    }
    tokio::time::sleep(CANCEL_GRACE).await;
}

fn timeout_error(cancel: &CancellationToken, timeout: Duration) -> ActionError {
    if cancel.is_cancelled() {
        ActionError::unknown("interrupted during a call")
    } else {
        ActionError::unknown(format!("no answer within the step's timeout of {timeout:?}"))
    }
}

/// Passes progress, log lines and checkpoints of one attempt to the reporter, the journal and the
/// dispatcher.
struct JournalingSink {
    run: RunId,
    step: StepId,
    name: String,
    attempt: u32,
    /// Number of log lines so far.
    line_count: AtomicUsize,
    reporter: Arc<dyn Reporter>,
    log_writer: LogWriter,
    clock: Clock,
    dispatcher: mpsc::Sender<DispatcherMessage>,
}

impl JournalingSink {
    fn write_log(&self, text: String) {
        let (run, step) = (self.run.clone(), self.name.clone());
        self.log_writer.write(LogLine { run, step, attempt: self.attempt, at: self.clock.now(), text });
    }

    fn report(&self, kind: EventKind) {
        self.reporter.report(Event { at: self.clock.now(), run: self.run.clone(), kind });
    }
}

impl AttemptSink for JournalingSink {
    fn progress(&self, message: String) {
        self.report(EventKind::StepProgress { step: self.name.clone(), message });
    }

    fn log(&self, line: String) {
        match self.line_count.fetch_add(1, Ordering::Relaxed) {
            0..MAX_LOG_LINES => self.write_log(line.clone()),
            MAX_LOG_LINES => {
                self.write_log(format!("(only the first {MAX_LOG_LINES} lines of an attempt are kept)"));
            }
            _ => {}
        }
        self.report(EventKind::StepLog { step: self.name.clone(), line });
    }

    fn save_checkpoint(&self, value: Value, changes: Vec<String>) -> BoxFuture<'_, Result<(), ActionError>> {
        Box::pin(async move {
            let stopped = || ActionError::transient("the engine stopped before the checkpoint was stored");
            let (reply, stored) = oneshot::channel();
            let request = CheckpointRequest { step: self.step, attempt: self.attempt, value, changes };
            let message = DispatcherMessage::Checkpoint { run: self.run.clone(), request, reply };
            self.dispatcher.send(message).await.map_err(|_| stopped())?;
            stored.await.map_err(|_| stopped())?
        })
    }
}
