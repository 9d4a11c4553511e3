use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{ActionError, Redactor, Secret, SecretRef, Secrets};

/// The same for every attempt of a step of a run, on any process: the key under which a call may be repeated.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key of `step` in `run`.
    pub fn of(run: &str, step: &str) -> Self {
        Self(format!("{run}/{step}"))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where an attempt's news go. The engine implements it; everything it receives is already redacted.
pub trait AttemptSink: Send + Sync {
    /// Shows what the attempt is doing now. Not durable.
    fn progress(&self, message: String);
    /// Keeps a line of captured output with the attempt.
    fn log(&self, line: String);
    /// Stores `value` as the attempt's checkpoint, and what the attempt has changed so far. Once it returns, both survive a
    /// power loss.
    fn save_checkpoint(&self, value: Value, changes: Vec<String>) -> BoxFuture<'_, Result<(), ActionError>>;
}

/// Everything an [`ActionContext`] is made from.
pub struct ContextParts {
    /// Id of the run.
    pub run: String,
    /// Name of the step, with its instance: `join[worker-1]`.
    pub step: String,
    /// 1 for the first try.
    pub attempt: u32,
    /// When the attempt must have ended.
    pub deadline: Instant,
    /// Cancelled when the attempt is to stop.
    pub cancel: CancellationToken,
    /// What an earlier attempt of this step stored last.
    pub checkpoint: Option<Value>,
    /// Where news go.
    pub sink: Arc<dyn AttemptSink>,
    /// How secret references are resolved.
    pub secrets: Arc<Secrets>,
}

/// What an attempt knows of itself, and its way to the engine.
pub struct ActionContext {
    parts: ContextParts,
    key: IdempotencyKey,
    begun: Instant,
    checkpoint: Mutex<Option<Value>>,
    changes: Mutex<Vec<String>>,
    shown: Mutex<String>,
}

impl ActionContext {
    /// A context for one attempt.
    pub fn new(parts: ContextParts) -> Self {
        let key = IdempotencyKey::of(&parts.run, &parts.step);
        let checkpoint = Mutex::new(parts.checkpoint.clone());
        Self { parts, key, begun: Instant::now(), checkpoint, changes: Mutex::default(), shown: Mutex::default() }
    }

    /// A context outside any run, with a memory-only checkpoint: for tests of actions and for previews.
    pub fn detached(step: &str, secrets: Arc<Secrets>) -> Self {
        struct NullSink;
        impl AttemptSink for NullSink {
            fn progress(&self, _: String) {}
            fn log(&self, _: String) {}
            fn save_checkpoint(&self, _: Value, _: Vec<String>) -> BoxFuture<'_, Result<(), ActionError>> {
                Box::pin(async { Ok(()) })
            }
        }
        Self::new(ContextParts {
            run: "detached".into(),
            step: step.into(),
            attempt: 1,
            deadline: Instant::now() + Duration::from_mins(10),
            cancel: CancellationToken::new(),
            checkpoint: None,
            sink: Arc::new(NullSink),
            secrets,
        })
    }

    /// Id of the run.
    pub fn run(&self) -> &str {
        &self.parts.run
    }

    /// Name of the step, with its instance.
    pub fn step(&self) -> &str {
        &self.parts.step
    }

    /// 1 for the first try.
    pub fn attempt(&self) -> u32 {
        self.parts.attempt
    }

    /// The key under which this step's calls may be repeated.
    pub fn idempotency_key(&self) -> &IdempotencyKey {
        &self.key
    }

    /// When the attempt must have ended.
    pub fn deadline(&self) -> Instant {
        self.parts.deadline
    }

    /// How long until the deadline.
    pub fn remaining(&self) -> Duration {
        self.parts.deadline.saturating_duration_since(Instant::now())
    }

    /// How long the attempt has been running.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Cancelled when the attempt is to stop.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.parts.cancel
    }

    /// Waits for `delay`. To poll a condition, use [`crate::poll_until`], which takes its delays from a [`crate::Backoff`].
    ///
    /// # Errors
    /// `Transient` without waiting if `delay` does not end before the deadline, and as soon as the attempt is cancelled. A
    /// long-running operation that was started is in the checkpoint.
    pub async fn sleep(&self, delay: Duration) -> Result<(), ActionError> {
        if delay > self.remaining() {
            return Err(ActionError::transient(format!("timed out after {:.0?}, the step's timeout", self.elapsed())));
        }
        tokio::select! {
            () = tokio::time::sleep(delay) => Ok(()),
            () = self.parts.cancel.cancelled() => Err(ActionError::transient("interrupted")),
        }
    }

    /// Shows what the attempt is doing now. Whoever polls may say it every time: the same words in a row are shown once.
    pub fn progress(&self, message: impl AsRef<str>) {
        let message = self.redactor().redact(message.as_ref());
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if *shown != message {
            shown.clone_from(&message);
            self.parts.sink.progress(message);
        }
    }

    /// Keeps a line of captured output.
    pub fn log(&self, line: impl AsRef<str>) {
        self.parts.sink.log(self.redactor().redact(line.as_ref()));
    }

    /// Notes that this attempt changed the world. A run without such notes reports that nothing changed.
    pub fn changed(&self, what: impl AsRef<str>) {
        let what = self.redactor().redact(what.as_ref());
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    /// Takes back what [`Self::changed`] was told: it was refused.
    pub(crate) fn unchanged(&self, what: &str) {
        let what = self.redactor().redact(what);
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).retain(|told| *told != what);
    }

    /// What [`Self::changed`] was told so far.
    pub fn changes(&self) -> Vec<String> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What this or an earlier attempt of the step stored last.
    pub fn checkpoint(&self) -> Option<Value> {
        self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner).clone().filter(|v| !v.is_null())
    }

    /// Stores `value` durably; a later attempt finds it in [`Self::checkpoint`]. `Value::Null` clears it. What
    /// [`Self::changed`] was told is stored with it, so that it is known if this attempt is lost.
    ///
    /// On an error nothing may be assumed stored: do not make the call that the checkpoint was to cover.
    pub async fn save_checkpoint(&self, value: Value) -> Result<(), ActionError> {
        self.parts.sink.save_checkpoint(value.clone(), self.changes()).await?;
        *self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        Ok(())
    }

    /// Resolves a secret at use and teaches the redactor its value.
    pub async fn secret(&self, reference: &SecretRef) -> Result<Secret, ActionError> {
        self.parts.secrets.resolve(self, reference).await
    }

    /// Hides every secret resolved so far.
    pub fn redactor(&self) -> &Redactor {
        self.parts.secrets.redactor()
    }
}
