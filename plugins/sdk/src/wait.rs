use std::{future::Future, time::Duration};

use tokio::time::Instant;

use crate::{ActionContext, ActionError, Backoff, FailureKind, backoff::Delays};

/// Result of one read of a condition that an action waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitState<T> {
    /// The condition holds, with this result.
    Ready(T),
    /// The condition does not hold yet.
    Pending {
        /// Reason in words that name the object, for the reader: `node "w-1": not ready`.
        reason: String,
        /// Shortest time until the next read, if the server asked for one.
        retry_after: Option<Duration>,
    },
}

impl<T> WaitState<T> {
    /// The condition does not hold yet, for `reason`.
    pub fn pending(reason: impl Into<String>) -> Self {
        Self::Pending { reason: reason.into(), retry_after: None }
    }

    /// The condition does not hold yet, for `reason`, and the server asked not to be read again
    /// before `retry_after`.
    pub fn pending_for(reason: impl Into<String>, retry_after: Option<Duration>) -> Self {
        Self::Pending { reason: reason.into(), retry_after }
    }
}

/// Reads a condition under `backoff` until it holds; see [`Waiter::poll`].
///
/// # Errors
/// Those of [`Waiter::poll`].
pub async fn poll_until<T, F, R>(cx: &ActionContext, backoff: Backoff, read: F) -> Result<T, ActionError>
where
    F: FnMut() -> R,
    R: Future<Output = Result<WaitState<T>, ActionError>>,
{
    Waiter::new(cx, backoff).poll(read).await
}

/// The delays of one wait, and the last reason for it.
///
/// [`Waiter::poll`] is the whole loop. A loop that changes variables between two reads calls
/// [`Waiter::pending`] and [`Waiter::failed`] itself.
pub struct Waiter<'a> {
    cx: &'a ActionContext,
    delays: Delays,
    reason: Option<String>,
    hint: Option<String>,
    limit: Option<(Instant, String)>,
}

impl<'a> Waiter<'a> {
    /// A wait that ends at the attempt's deadline at the latest.
    pub fn new(cx: &'a ActionContext, backoff: Backoff) -> Self {
        Self { cx, delays: backoff.delays(), reason: None, hint: None, limit: None }
    }

    /// Adds a hint to the error that a timeout gives.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Ends the wait after `limit` already, which the error names as `name`: `the drain's timeout`.
    #[must_use]
    pub fn with_limit(mut self, limit: Duration, name: impl Into<String>) -> Self {
        self.limit = Some((Instant::now() + limit, name.into()));
        self
    }

    /// Reads the condition until it holds. Each reason is reported as progress; the last one is
    /// part of a timeout's error.
    ///
    /// Failures that are transient or throttled are reported like a pending condition, and the
    /// condition is read again, not before a `retry_after` has passed.
    ///
    /// # Errors
    /// Permanent and unknown failures of `read` are returned unchanged. Once the next delay would
    /// pass the deadline, or when the attempt is cancelled, the error is `Transient` – or that of
    /// the last read, if it asked for a longer delay.
    pub async fn poll<T, F, R>(mut self, mut read: F) -> Result<T, ActionError>
    where
        F: FnMut() -> R,
        R: Future<Output = Result<WaitState<T>, ActionError>>,
    {
        loop {
            match read().await {
                Ok(WaitState::Ready(result)) => return Ok(result),
                Ok(WaitState::Pending { reason, retry_after }) => self.pending(reason, retry_after).await?,
                Err(error) => self.failed(error).await?,
            }
        }
    }

    /// Reports `reason` and waits, at least for `retry_after`.
    ///
    /// # Errors
    /// `Transient` with the reason, if the delay does not fit before the deadline or the attempt is
    /// cancelled.
    pub async fn pending(
        &mut self,
        reason: impl Into<String>,
        retry_after: Option<Duration>,
    ) -> Result<(), ActionError> {
        let reason = reason.into();
        self.cx.progress(&reason);
        self.reason = Some(reason);
        let delay = self.delay(retry_after);
        self.sleep(delay).await.map_err(|e| self.timeout_error(e))
    }

    /// Reports `error` and waits, if it is transient or throttled.
    ///
    /// # Errors
    /// Any other error is returned unchanged. If the delay does not fit before the deadline: the
    /// error itself when it asked for that delay, else `Transient` with the last reason.
    pub async fn failed(&mut self, error: ActionError) -> Result<(), ActionError> {
        let retry_after = match error.kind {
            FailureKind::Transient => None,
            FailureKind::Throttled { retry_after } => retry_after,
            FailureKind::Permanent | FailureKind::Unknown => return Err(error),
        };
        self.cx.progress(&error.message);
        let delay = self.delay(retry_after);
        match self.sleep(delay).await {
            Err(_) if retry_after.is_some() && !self.cx.cancellation().is_cancelled() => Err(error),
            // The last reason says more about the condition than a read that failed.
            Err(timeout) if self.reason.is_some() => Err(self.timeout_error(timeout)),
            Err(timeout) => Err(ActionError { hint: error.hint, ..timeout.context(error.message) }),
            Ok(()) => Ok(()),
        }
    }

    fn delay(&mut self, retry_after: Option<Duration>) -> Duration {
        self.delays.next_delay().max(retry_after.unwrap_or_default())
    }

    async fn sleep(&self, delay: Duration) -> Result<(), ActionError> {
        match &self.limit {
            Some((end, name)) if Instant::now() + delay > *end => {
                Err(ActionError::transient(format!("timed out: {name}")))
            }
            _ => self.cx.sleep(delay).await,
        }
    }

    fn timeout_error(&self, error: ActionError) -> ActionError {
        let error = match &self.reason {
            Some(reason) => error.context(reason),
            None => error,
        };
        match &self.hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, sync::Arc};

    use futures::future::BoxFuture;
    use serde_json::Value;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{AttemptSink, ContextParts, RunLease, Secrets};

    const BACKOFF: Backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(10));

    struct NoSink;
    impl AttemptSink for NoSink {
        fn progress(&self, _: String) {}
        fn log(&self, _: String) {}
        fn save_checkpoint(&self, _: Value, _: Vec<String>) -> BoxFuture<'_, Result<(), ActionError>> {
            Box::pin(async { Ok(()) })
        }
    }

    fn context(timeout: Duration) -> ActionContext {
        ActionContext::new(ContextParts {
            run: "run".into(),
            step: "step".into(),
            attempt: 1,
            deadline: Instant::now() + timeout,
            cancel: CancellationToken::new(),
            checkpoint: None,
            sink: Arc::new(NoSink),
            secrets: Arc::new(Secrets::default()),
            lease: Arc::new(RunLease::unlimited()),
            circuits: Arc::default(),
        })
    }

    type Reads = VecDeque<Result<WaitState<u8>, ActionError>>;

    async fn poll(waiter: Waiter<'_>, reads: Vec<Result<WaitState<u8>, ActionError>>) -> Result<u8, ActionError> {
        let mut reads = Reads::from(reads);
        waiter.poll(|| std::future::ready(reads.pop_front().unwrap_or(Ok(WaitState::pending("still closed"))))).await
    }

    #[tokio::test]
    async fn a_condition_is_read_until_it_holds() {
        let cx = context(Duration::from_mins(1));
        let reads = vec![
            Ok(WaitState::pending("closed")),
            Err(ActionError::transient("no connection")),
            Err(ActionError::throttled(None, "too many requests")),
            Ok(WaitState::Ready(7)),
        ];
        assert_eq!(poll(Waiter::new(&cx, BACKOFF), reads).await, Ok(7));
    }

    #[tokio::test]
    async fn a_requested_delay_is_kept() {
        let cx = context(Duration::from_mins(1));
        let millis = |millis| Some(Duration::from_millis(millis));
        let reads = vec![
            Ok(WaitState::pending_for("closed", millis(20))),
            Err(ActionError::throttled(millis(30), "too many requests")),
            Ok(WaitState::Ready(7)),
        ];
        let started = Instant::now();
        assert_eq!(poll(Waiter::new(&cx, BACKOFF), reads).await, Ok(7));
        assert!(started.elapsed() >= Duration::from_millis(50), "{:?}", started.elapsed());
    }

    #[tokio::test]
    async fn a_failure_that_polling_cannot_help_ends_the_wait() {
        let cx = context(Duration::from_mins(1));
        for error in [ActionError::permanent("forbidden"), ActionError::unknown("no response")] {
            assert_eq!(poll(Waiter::new(&cx, BACKOFF), vec![Err(error.clone())]).await, Err(error));
        }
    }

    #[tokio::test]
    async fn a_timeout_names_the_last_reason_and_the_hint() {
        let cx = context(Duration::from_millis(100));
        let reads = vec![Ok(WaitState::pending("door: closed")); 1];
        let error = poll(Waiter::new(&cx, BACKOFF).with_hint("open it"), reads).await.expect_err("timeout");
        assert_eq!(error.kind, FailureKind::Transient);
        assert!(error.message.starts_with("still closed: timed out after"), "{error}");
        assert_eq!(error.hint.as_deref(), Some("open it"));
    }

    #[tokio::test]
    async fn a_pause_that_does_not_end_before_the_deadline_is_named() {
        let error = context(Duration::from_secs(9)).sleep(Duration::from_secs(30)).await.expect_err("too long");
        let words = "a pause of 30s is due, and 9s of the step's timeout are left";
        assert!(error.message.ends_with(words) && error.kind == FailureKind::Transient, "{error}");
    }

    #[tokio::test]
    async fn a_limit_of_its_own_ends_the_wait_before_the_deadline() {
        let cx = context(Duration::from_mins(1));
        let waiter = Waiter::new(&cx, BACKOFF).with_limit(Duration::from_millis(50), "the drain's timeout");
        let error = poll(waiter, Vec::new()).await.expect_err("limit");
        assert_eq!(error.message, "still closed: timed out: the drain's timeout");
    }

    #[tokio::test]
    async fn a_delay_that_does_not_fit_is_left_to_the_next_attempt() {
        let cx = context(Duration::from_secs(5));
        let error = ActionError::throttled(Some(Duration::from_mins(1)), "too many requests");
        assert_eq!(poll(Waiter::new(&cx, BACKOFF), vec![Err(error.clone())]).await, Err(error));
    }

    #[tokio::test]
    async fn cancellation_ends_the_wait() {
        let cx = context(Duration::from_mins(1));
        cx.cancellation().cancel();
        let error = poll(Waiter::new(&cx, BACKOFF), Vec::new()).await.expect_err("cancelled");
        assert_eq!((error.kind, error.message.as_str()), (FailureKind::Transient, "still closed: interrupted"));
    }
}
