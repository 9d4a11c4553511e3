use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Preview, Recovery, RequiredPermissions};
use tokio::time::Instant;

/// Interval at which the clock is read: a machine that was suspended goes on at most this much
/// later.
const CLOCK_INTERVAL: Duration = Duration::from_secs(5);

/// Time to wait.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WaitInput {
    /// Time to wait, such as `90s`, `5m` or `1h 30m`.
    pub duration: String,
}

/// End of a wait.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct WaitOutput {
    /// Time at which the wait was due to end, in the form of RFC 3339; `null` in a preview.
    pub until: Option<String>,
}

/// Action `core.wait`: waits for a time.
///
/// The end is stored before the wait begins: an interrupted run that continues later waits for the
/// rest only. Neither a suspension of the machine nor a clock that is set back prolongs the wait.
pub(crate) struct WaitAction;

impl RequiredPermissions for WaitAction {}

impl Action for WaitAction {
    type Input = WaitInput;
    type Output = WaitOutput;
    const NAME: &'static str = "core.wait";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Once;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Waits for a time, of which an interruption of the run is a part.";

    async fn run(&self, cx: &ActionContext, input: &WaitInput) -> Result<WaitOutput, ActionError> {
        let duration = parse(&input.duration)?;
        let until = match stored(cx) {
            Some(until) => until,
            None => store(cx, duration).await?,
        };
        // A clock that was set back would show more than the whole wait.
        let left = Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default().min(duration);
        check_timeout(cx, left)?;
        let end = Instant::now() + left;
        cx.progress(format!("until {until:.0}"));
        while Instant::now() < end && Timestamp::now() < until {
            cx.sleep(CLOCK_INTERVAL.min(end.saturating_duration_since(Instant::now()))).await?;
        }
        Ok(WaitOutput { until: Some(until.to_string()) })
    }

    async fn preview(&self, _: &ActionContext, input: &WaitInput) -> Result<Preview, ActionError> {
        parse(&input.duration)?;
        Preview::unchanged(&WaitOutput { until: None })
    }
}

/// Parses a duration.
///
/// # Errors
/// `Permanent` for a text that is no duration, and for a negative one.
fn parse(text: &str) -> Result<Duration, ActionError> {
    let parsed = text.parse::<SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    parsed.ok_or_else(|| {
        let message = format!("{text:?} is not a duration");
        ActionError::permanent(message).with_hint("write one such as 90s, 5m or 1h 30m")
    })
}

/// Returns the end of the wait that an earlier attempt has stored.
fn stored(cx: &ActionContext) -> Option<Timestamp> {
    serde_json::from_value(cx.checkpoint()?).ok()
}

async fn store(cx: &ActionContext, duration: Duration) -> Result<Timestamp, ActionError> {
    let too_long = |_| ActionError::permanent(format!("a wait of {duration:?} ends after the last date"));
    let until = Timestamp::now().checked_add(duration).map_err(too_long)?;
    cx.save_checkpoint(until.to_string().into()).await?;
    Ok(until)
}

/// Checks that the wait ends within the step's timeout.
fn check_timeout(cx: &ActionContext, left: Duration) -> Result<(), ActionError> {
    if left < cx.remaining() {
        return Ok(());
    }
    let message = format!("the wait takes {left:.0?}, and {:.0?} of the step's timeout are left", cx.remaining());
    Err(ActionError::permanent(message).with_hint("set a longer `timeout` for the step"))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures::future::BoxFuture;
    use serde_json::Value;
    use stargate_sdk::{AttemptSink, ContextParts, RunLease};
    use tokio_util::sync::CancellationToken;

    use super::*;

    /// The end of a wait as it is stored.
    #[derive(Default)]
    struct Stored(Mutex<Option<Value>>);

    impl AttemptSink for Stored {
        fn progress(&self, _: String) {}
        fn log(&self, _: String) {}
        fn save_checkpoint(&self, value: Value, _: Vec<String>) -> BoxFuture<'_, Result<(), ActionError>> {
            *self.0.lock().expect("lock") = Some(value);
            Box::pin(async { Ok(()) })
        }
    }

    fn context(stored: &Arc<Stored>, timeout: Duration) -> ActionContext {
        ActionContext::new(ContextParts {
            run: "r".into(),
            step: "pause".into(),
            attempt: 1,
            deadline: Instant::now() + timeout,
            cancel: CancellationToken::new(),
            checkpoint: stored.0.lock().expect("lock").clone(),
            sink: Arc::clone(stored) as Arc<dyn AttemptSink>,
            secrets: Arc::default(),
            lease: Arc::new(RunLease::unlimited()),
            circuits: Arc::default(),
        })
    }

    fn input(duration: &str) -> WaitInput {
        WaitInput { duration: duration.into() }
    }

    #[tokio::test]
    async fn a_wait_ends_at_the_time_that_an_earlier_attempt_has_stored() {
        let stored = Arc::new(Stored::default());
        let minute = Duration::from_mins(1);
        // The first attempt is interrupted while it waits.
        let cx = context(&stored, Duration::from_hours(2));
        let first = tokio::time::timeout(Duration::from_millis(20), WaitAction.run(&cx, &input("1h"))).await;
        assert!(first.is_err() && stored.0.lock().expect("lock").is_some());
        // An hour later.
        let past = Timestamp::now() - SignedDuration::from_secs(1);
        *stored.0.lock().expect("lock") = Some(past.to_string().into());
        let output = WaitAction.run(&context(&stored, minute), &input("1h")).await.expect("the hour is over");
        assert_eq!(output.until, Some(past.to_string()));
    }

    #[tokio::test]
    async fn a_clock_that_was_set_back_does_not_prolong_a_wait() {
        let stored = Arc::new(Stored::default());
        let tomorrow = Timestamp::now() + SignedDuration::from_hours(24);
        *stored.0.lock().expect("lock") = Some(tomorrow.to_string().into());
        WaitAction.run(&context(&stored, Duration::from_mins(1)), &input("20ms")).await.expect("20 ms");
    }

    #[tokio::test]
    async fn a_wait_beyond_the_timeout_and_a_text_that_is_no_duration_are_refused() {
        let stored = Arc::new(Stored::default());
        let error =
            WaitAction.run(&context(&stored, Duration::from_mins(10)), &input("30m")).await.expect_err("too long");
        assert!(error.message.contains("timeout") && error.hint.is_some(), "{error}");
        for text in ["", "soon", "5", "-5m"] {
            WaitAction.run(&context(&stored, Duration::from_mins(10)), &input(text)).await.expect_err(text);
        }
    }
}
