use std::{future::Future, time::Duration};

use stargate_sdk::{ActionContext, ActionError};

use crate::CallEffect;

/// Reason for which an attempt had to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// The step's deadline has passed.
    Deadline,
    /// The attempt was cancelled.
    Cancelled,
}

/// A future that was dropped because the attempt had to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// Reason for which the attempt had to stop.
    pub reason: StopReason,
    /// False if the attempt had to stop before the future was polled at all: then nothing was sent.
    pub started: bool,
}

impl Stopped {
    /// Error of the call that the future made; `call` is its name, such as `tailscale GET
    /// /api/v2/…`.
    ///
    /// A call that was not started is `Transient`, one that was is judged by `effect`.
    pub fn into_error(self, effect: CallEffect, call: &str) -> ActionError {
        match (self.reason, self.started) {
            (StopReason::Deadline, false) => {
                ActionError::transient(format!("{call}: not sent, the step's timeout has expired"))
            }
            (StopReason::Cancelled, false) => ActionError::transient(format!("{call}: interrupted before it was sent")),
            (StopReason::Deadline, true) => {
                effect.unanswered_error(format!("{call}: no response within the step's timeout"))
            }
            (StopReason::Cancelled, true) => effect.unanswered_error(format!("{call}: interrupted")),
        }
    }
}

/// Runs `future` until it is done, the attempt's deadline passes or the attempt is cancelled.
///
/// # Errors
/// [`Stopped`], with the reason. `future` is dropped then; if the attempt had to stop before, it
/// was not polled.
pub async fn within<F: Future>(cx: &ActionContext, future: F) -> Result<F::Output, Stopped> {
    within_grace(cx, Duration::ZERO, future).await
}

/// Like [`within`], but lets `future` run for `grace` after a cancellation, so that the outcome of
/// a write that was sent is known. The deadline has no grace.
///
/// # Errors
/// [`Stopped`], with the reason.
pub async fn within_grace<F: Future>(cx: &ActionContext, grace: Duration, future: F) -> Result<F::Output, Stopped> {
    if cx.cancellation().is_cancelled() {
        return Err(Stopped { reason: StopReason::Cancelled, started: false });
    }
    if cx.remaining().is_zero() {
        return Err(Stopped { reason: StopReason::Deadline, started: false });
    }
    let cancelled = async {
        cx.cancellation().cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        biased; // a result that is there counts
        output = future => Ok(output),
        () = tokio::time::sleep_until(cx.deadline()) => Err(Stopped { reason: StopReason::Deadline, started: true }),
        () = cancelled => Err(Stopped { reason: StopReason::Cancelled, started: true }),
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, sync::Arc};

    use stargate_sdk::{FailureKind, Secrets};

    use super::*;

    fn context() -> ActionContext {
        ActionContext::detached("test", Arc::new(Secrets::default()))
    }

    #[tokio::test]
    async fn a_result_counts_although_the_attempt_is_cancelled_meanwhile() {
        let cx = context();
        let result = within(&cx, async {
            cx.cancellation().cancel();
            7
        });
        assert_eq!(result.await, Ok(7));
    }

    #[tokio::test]
    async fn a_cancelled_attempt_starts_nothing() {
        let cx = context();
        cx.cancellation().cancel();
        let stopped = within(&cx, async { panic!("it was polled") }).await.expect_err("cancelled");
        assert_eq!(stopped, Stopped { reason: StopReason::Cancelled, started: false });
        assert_eq!(stopped.into_error(CallEffect::MayHaveChanged, "call").kind, FailureKind::Transient);
    }

    #[tokio::test]
    async fn a_call_that_was_sent_is_judged_by_its_effect() {
        let cx = context();
        let stopped = within(&cx, async {
            cx.cancellation().cancel();
            pending::<()>().await;
        });
        let stopped = stopped.await.expect_err("cancelled");
        assert_eq!(stopped, Stopped { reason: StopReason::Cancelled, started: true });
        assert_eq!(stopped.into_error(CallEffect::ReadOnly, "call").kind, FailureKind::Transient);
        let error = stopped.into_error(CallEffect::MayHaveChanged, "call");
        assert_eq!((error.kind, error.message.as_str()), (FailureKind::Unknown, "call: interrupted"));
    }

    #[tokio::test]
    async fn grace_lets_a_write_finish_after_a_cancellation() {
        let cx = context();
        let result = within_grace(&cx, Duration::from_mins(5), async {
            cx.cancellation().cancel();
            tokio::time::sleep(Duration::from_millis(20)).await;
            7
        });
        assert_eq!(result.await, Ok(7));
    }
}
