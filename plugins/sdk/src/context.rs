use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{ActionError, Circuits, LEASE_EXPIRED, Redactor, RunLease, Secret, SecretRef, Secrets};

/// Maximum length of a stored line of captured output, in bytes.
const MAX_LINE_BYTES: usize = 8 * 1024;
/// Length of the tail of a longer line, in bytes.
const TAIL_BYTES: usize = 2 * 1024;

/// Text that is the same for each attempt of a step of a run, in any process: `run/step`.
///
/// A server that accepts such a key applies a repeated call once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key of `step` in the run with id `run`.
    pub fn of(run: &str, step: &str) -> Self {
        Self(format!("{run}/{step}"))
    }

    /// The key as text: `run/step`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Receiver of an attempt's progress, log lines and checkpoints. The engine implements it. Progress
/// and log lines are redacted before they arrive.
pub trait AttemptSink: Send + Sync {
    /// Reports the current activity of the attempt. It is not stored.
    fn progress(&self, message: String);
    /// Stores a line of captured output with the attempt.
    fn log(&self, line: String);
    /// Stores `value` as the attempt's checkpoint, and the changes so far. Once it returns `Ok`,
    /// both survive a power loss.
    fn save_checkpoint(&self, value: Value, changes: Vec<String>) -> BoxFuture<'_, Result<(), ActionError>>;
}

/// Parts of an [`ActionContext`].
pub struct ContextParts {
    /// Id of the run.
    pub run: String,
    /// Name of the step, with its instance key: `join[worker-1]`.
    pub step: String,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Time at which the step's timeout expires.
    pub deadline: Instant,
    /// Token that is cancelled when the attempt must stop.
    pub cancel: CancellationToken,
    /// Last checkpoint of the earlier attempts of this step.
    pub checkpoint: Option<Value>,
    /// Receiver of progress, log lines and checkpoints.
    pub sink: Arc<dyn AttemptSink>,
    /// Resolver of secret references.
    pub secrets: Arc<Secrets>,
    /// Lease of the run.
    pub lease: Arc<RunLease>,
    /// Machines that steps of the run could not reach.
    pub circuits: Arc<Circuits>,
}

/// Identity and deadline of one attempt, and its connection to the engine.
pub struct ActionContext {
    parts: ContextParts,
    key: IdempotencyKey,
    started: Instant,
    checkpoint: Mutex<Option<Value>>,
    changes: Mutex<Vec<String>>,
    last_progress: Mutex<String>,
}

impl ActionContext {
    /// A context for one attempt.
    pub fn new(parts: ContextParts) -> Self {
        let key = IdempotencyKey::of(&parts.run, &parts.step);
        let checkpoint = Mutex::new(parts.checkpoint.clone());
        Self {
            parts,
            key,
            started: Instant::now(),
            checkpoint,
            changes: Mutex::default(),
            last_progress: Mutex::default(),
        }
    }

    /// A context outside any run, with a timeout of ten minutes and a checkpoint in memory only:
    /// for tests of actions and for previews.
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
            lease: Arc::new(RunLease::unlimited()),
            circuits: Arc::default(),
        })
    }

    /// The same context with a deadline that is `timeout` from now.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.parts.deadline = Instant::now() + timeout;
        self
    }

    /// The same context with the idempotency key of a step that is executed again on request: what
    /// was called under an earlier key counts as another call. `repetition` 0 is the first one.
    #[must_use]
    pub fn of_repetition(mut self, repetition: u32) -> Self {
        if repetition > 0 {
            self.key = IdempotencyKey::of(&self.parts.run, &format!("{}#{repetition}", self.parts.step));
        }
        self
    }

    /// Id of the run.
    pub fn run(&self) -> &str {
        &self.parts.run
    }

    /// Name of the step, with its instance key.
    pub fn step(&self) -> &str {
        &self.parts.step
    }

    /// Number of the attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.parts.attempt
    }

    /// Key under which this step's calls can be repeated.
    pub fn idempotency_key(&self) -> &IdempotencyKey {
        &self.key
    }

    /// Time at which the step's timeout expires.
    pub fn deadline(&self) -> Instant {
        self.parts.deadline
    }

    /// Time until the deadline; zero if it has passed.
    pub fn remaining(&self) -> Duration {
        self.parts.deadline.saturating_duration_since(Instant::now())
    }

    /// Time since the attempt started.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Token that is cancelled when the attempt must stop.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.parts.cancel
    }

    /// Lease of the run.
    pub fn lease(&self) -> &Arc<RunLease> {
        &self.parts.lease
    }

    /// Machines that steps of the run could not reach.
    pub fn circuits(&self) -> &Circuits {
        &self.parts.circuits
    }

    /// Checks immediately before a call that changes an external system that this process still
    /// owns the run. If the lease has expired, it is renewed first.
    ///
    /// # Errors
    /// `Transient` with the code [`LEASE_EXPIRED`] if another process has acquired the run, or if
    /// the attempt has to stop before the lease is renewed: the call must not be made.
    pub async fn check_lease(&self) -> Result<(), ActionError> {
        let is_in_force = tokio::select! {
            biased; // a cancelled attempt may still clean up
            result = self.parts.lease.in_force() => result.is_ok(),
            () = self.parts.cancel.cancelled() => false,
            () = tokio::time::sleep_until(self.parts.deadline) => false,
        };
        if is_in_force { Ok(()) } else { Err(self.lease_error()) }
    }

    /// Error of a call that was not sent, because the lease of the run has expired.
    pub fn lease_error(&self) -> ActionError {
        let message = format!("not sent: the lease of run {} has expired", self.parts.run);
        ActionError::transient(message).with_code(LEASE_EXPIRED)
    }

    /// Waits for `delay`. To poll a condition, use [`crate::poll_until`], which takes its delays
    /// from a [`crate::Backoff`].
    ///
    /// # Errors
    /// `Transient` without waiting if `delay` does not end before the deadline, and as soon as the
    /// attempt is cancelled. A long-running operation that was started is in the checkpoint.
    pub async fn sleep(&self, delay: Duration) -> Result<(), ActionError> {
        let left = self.remaining();
        if delay > left {
            let message = format!(
                "timed out after {:.0?}: a pause of {delay:.0?} is due, and {left:.0?} of the step's timeout are left",
                self.elapsed()
            );
            return Err(ActionError::transient(message));
        }
        tokio::select! {
            () = tokio::time::sleep(delay) => Ok(()),
            () = self.parts.cancel.cancelled() => Err(ActionError::transient("interrupted")),
        }
    }

    /// Reports the current activity of the attempt. A message that equals the last one is not
    /// reported again, so that a poll can report it each time.
    pub fn progress(&self, message: impl AsRef<str>) {
        let message = self.redactor().redact(message.as_ref());
        let mut last = self.last_progress.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != message {
            last.clone_from(&message);
            self.parts.sink.progress(message);
        }
    }

    /// Stores a line of captured output with the attempt. Of a line of more than 8 KiB, the head
    /// and the tail are stored.
    pub fn log(&self, line: impl AsRef<str>) {
        self.parts.sink.log(shortened(self.redactor().redact(line.as_ref())));
    }

    /// Records a change to an external system, as text for people. A run without changes reports
    /// that nothing changed.
    pub fn changed(&self, what: impl AsRef<str>) {
        let what = self.redactor().redact(what.as_ref());
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    /// Removes a change that was recorded with [`Self::changed`] and then refused.
    pub(crate) fn retract_change(&self, what: &str) {
        let what = self.redactor().redact(what);
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).retain(|change| *change != what);
    }

    /// Changes that were recorded with [`Self::changed`] so far.
    pub fn changes(&self) -> Vec<String> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Last checkpoint of this and the earlier attempts of the step; `None` if there is none or it
    /// was cleared.
    pub fn checkpoint(&self) -> Option<Value> {
        self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner).clone().filter(|v| !v.is_null())
    }

    /// Stores `value` as the step's checkpoint; `Value::Null` clears it.
    ///
    /// Once it returns, the checkpoint and the changes so far survive a power loss, and later
    /// attempts find them. `value` must not contain a secret.
    ///
    /// # Errors
    /// Nothing was stored: the caller must not make the call that the checkpoint covers.
    pub async fn save_checkpoint(&self, value: Value) -> Result<(), ActionError> {
        self.parts.sink.save_checkpoint(value.clone(), self.changes()).await?;
        *self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        Ok(())
    }

    /// Resolves a secret reference; the value is redacted from then on.
    ///
    /// # Errors
    /// See [`Secrets::resolve`].
    pub async fn secret(&self, reference: &SecretRef) -> Result<Secret, ActionError> {
        self.parts.secrets.resolve(self, reference).await
    }

    /// Names of the environment variables that contain secrets: a program that does not need them
    /// must not get them.
    pub fn secret_variables(&self) -> BTreeSet<String> {
        self.parts.secrets.variables()
    }

    /// Redactor of all secrets that were resolved so far.
    pub fn redactor(&self) -> &Redactor {
        self.parts.secrets.redactor()
    }
}

/// Returns a line of at most [`MAX_LINE_BYTES`]: all of it, or its head and its tail.
fn shortened(line: String) -> String {
    if line.len() <= MAX_LINE_BYTES {
        return line;
    }
    let note = format!("… ({} bytes in all) …", line.len());
    let head = line.floor_char_boundary(MAX_LINE_BYTES - TAIL_BYTES - note.len());
    let tail = line.ceil_char_boundary(line.len() - TAIL_BYTES);
    format!("{}{note}{}", &line[..head], &line[tail..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_stored_up_to_8_kib_with_its_head_and_its_tail() {
        for character in ["x", "é", "€"] {
            let longest = character.repeat(MAX_LINE_BYTES / character.len());
            assert_eq!(shortened(longest.clone()), longest);
            let line = shortened(format!("head{longest}tail"));
            assert!((MAX_LINE_BYTES - 8..=MAX_LINE_BYTES).contains(&line.len()), "{}", line.len());
            assert!(line.starts_with("head") && line.ends_with("tail") && line.contains("bytes in all"));
        }
    }
}
