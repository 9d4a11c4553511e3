use std::{fmt, future::Future, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Action, ActionContext, ActionError, Backoff, FailureKind, FindResult, Preview, Recovery};

/// Delays between reads after a change: most servers show it within milliseconds.
const READ_BACK: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));

/// One way in which the world differs from what is wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// What differs, such as `ip forwarding` or `route table`.
    pub what: String,
    /// How it is; `null` when it is not there.
    pub before: Value,
    /// How it is to be; `null` when it is to go.
    pub after: Value,
}

impl Difference {
    /// `what` goes from `before` to `after`.
    pub fn new(what: impl Into<String>, before: impl Into<Value>, after: impl Into<Value>) -> Self {
        Self { what: what.into(), before: before.into(), after: after.into() }
    }

    /// A difference in `what` if the two are not equal.
    pub fn between(what: &str, before: impl Into<Value>, after: impl Into<Value>) -> Option<Self> {
        let (before, after) = (before.into(), after.into());
        (before != after).then(|| Self::new(what, before, after))
    }

    /// `what` is not there and is to be.
    pub fn missing(what: impl Into<String>, after: impl Into<Value>) -> Self {
        Self::new(what, Value::Null, after)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.before, &self.after) {
            (Value::Null, after) => write!(f, "+ {}: {}", self.what, plain(after)),
            (before, Value::Null) => write!(f, "- {}: {}", self.what, plain(before)),
            (before, after) => write!(f, "~ {}: {} -> {}", self.what, plain(before), plain(after)),
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Something that is to be in a desired state. [`Ensure`] makes it an [`Action`].
///
/// Exists is not correct: `diff` compares every property that `Desired` speaks of, and `apply` changes only those.
pub trait Resource: Send + Sync + 'static {
    /// How it is to be: what `with:` must be.
    type Desired: DeserializeOwned + JsonSchema + Send + Sync;
    /// How it is.
    type Actual: Send + Sync;
    /// What other steps can refer to.
    type Output: Serialize + DeserializeOwned + JsonSchema + Send + Sync;

    /// `provider.noun.ensure`.
    const NAME: &'static str;
    /// Pinned in every plan.
    const VERSION: u32;
    /// One sentence, third person.
    const SUMMARY: &'static str;
    /// How long after `apply` the world may take to show the change.
    const CONSISTENCY_TIMEOUT: Duration = Duration::from_mins(1);

    /// Reads how it is; `None` when it is not there. Changes nothing.
    fn read(
        &self,
        cx: &ActionContext,
        desired: &Self::Desired,
    ) -> impl Future<Output = Result<Option<Self::Actual>, ActionError>> + Send;

    /// Compares. Empty: in order. A difference that must not be mended by us is a `Permanent` error.
    fn diff(&self, desired: &Self::Desired, actual: Option<&Self::Actual>) -> Result<Vec<Difference>, ActionError>;

    /// Changes the difference and waits until the far side has accepted it.
    fn apply(
        &self,
        cx: &ActionContext,
        desired: &Self::Desired,
        actual: Option<&Self::Actual>,
        differences: &[Difference],
    ) -> impl Future<Output = Result<(), ActionError>> + Send;

    /// What other steps can refer to, once it is in order.
    fn output(
        &self,
        cx: &ActionContext,
        desired: &Self::Desired,
        actual: &Self::Actual,
    ) -> Result<Self::Output, ActionError>;

    /// Goes on with what an earlier attempt had begun and recorded in its checkpoint, such as a long-running operation.
    fn resume(
        &self,
        cx: &ActionContext,
        desired: &Self::Desired,
        checkpoint: Value,
    ) -> impl Future<Output = Result<(), ActionError>> + Send {
        let _ = (cx, desired, checkpoint);
        async { Ok(()) }
    }
}

/// Makes a [`Resource`] an [`Action`]: go on with a begun operation, read, compare, change the difference, read back.
pub struct Ensure<R>(pub R);

impl<R: Resource> Ensure<R> {
    /// What an earlier attempt had begun is waited for before anything is compared.
    async fn go_on(&self, cx: &ActionContext, desired: &R::Desired) -> Result<(), ActionError> {
        match cx.checkpoint() {
            Some(checkpoint) => self.0.resume(cx, desired, checkpoint).await,
            None => Ok(()),
        }
    }

    async fn converged(&self, cx: &ActionContext, desired: &R::Desired) -> Result<Option<R::Output>, ActionError> {
        let actual = self.0.read(cx, desired).await?;
        match (&actual, self.0.diff(desired, actual.as_ref())?.is_empty()) {
            (Some(actual), true) => self.0.output(cx, desired, actual).map(Some),
            _ => Ok(None),
        }
    }

    /// What a change that failed has left as it was. Where it may have taken effect, nothing is said to be so.
    async fn left(
        &self,
        cx: &ActionContext,
        desired: &R::Desired,
        differences: Vec<Difference>,
        error: &ActionError,
    ) -> Vec<Difference> {
        match error.kind {
            FailureKind::Unknown => Vec::new(),
            // It was let go of, or what was begun goes on.
            _ if cx.cancellation().is_cancelled() || cx.remaining().is_zero() || cx.checkpoint().is_some() => {
                Vec::new()
            }
            // Some of it may have been made before the rest was refused.
            FailureKind::Transient | FailureKind::Permanent if differences.len() > 1 => {
                let look = async { self.0.diff(desired, self.0.read(cx, desired).await?.as_ref()) };
                let Ok(seen) = look.await else { return differences };
                let is_seen = |left: &Difference| seen.iter().any(|difference| difference.what == left.what);
                differences.into_iter().filter(is_seen).collect()
            }
            FailureKind::Transient | FailureKind::Permanent | FailureKind::Throttled { .. } => differences,
        }
    }

    /// Polls until actual equals desired state, for at most `CONSISTENCY_TIMEOUT`.
    async fn read_back(&self, cx: &ActionContext, desired: &R::Desired) -> Result<R::Output, ActionError> {
        let started = cx.elapsed();
        let mut delays = READ_BACK.delays();
        loop {
            if let Some(output) = self.converged(cx, desired).await? {
                return Ok(output);
            }
            if cx.elapsed() > started + R::CONSISTENCY_TIMEOUT {
                return Err(self.still_different(cx, desired).await?);
            }
            cx.sleep(delays.next_delay()).await?;
        }
    }

    async fn still_different(&self, cx: &ActionContext, desired: &R::Desired) -> Result<ActionError, ActionError> {
        let actual = self.0.read(cx, desired).await?;
        let left: Vec<_> = self.0.diff(desired, actual.as_ref())?.iter().map(ToString::to_string).collect();
        Ok(ActionError::transient(format!(
            "the change was accepted but is not seen after {:?}: {}",
            R::CONSISTENCY_TIMEOUT,
            left.join("; ")
        )))
    }
}

impl<R: Resource> Action for Ensure<R> {
    type Input = R::Desired;
    type Output = R::Output;
    const NAME: &'static str = R::NAME;
    const VERSION: u32 = R::VERSION;
    const RECOVERY: Recovery = Recovery::Find;
    const SUMMARY: &'static str = R::SUMMARY;

    async fn run(&self, cx: &ActionContext, desired: &R::Desired) -> Result<R::Output, ActionError> {
        self.go_on(cx, desired).await?;
        let actual = self.0.read(cx, desired).await?;
        let differences = self.0.diff(desired, actual.as_ref())?;
        match &actual {
            Some(actual) if differences.is_empty() => self.0.output(cx, desired, actual),
            _ => {
                // Told before it is made: an attempt that is let go of in the middle may have made it.
                for difference in &differences {
                    cx.changed(difference.to_string());
                }
                if let Err(error) = self.0.apply(cx, desired, actual.as_ref(), &differences).await {
                    for left in self.left(cx, desired, differences, &error).await {
                        cx.unchanged(&left.to_string());
                    }
                    return Err(error);
                }
                self.read_back(cx, desired).await
            }
        }
    }

    async fn find(&self, cx: &ActionContext, desired: &R::Desired) -> Result<FindResult<R::Output>, ActionError> {
        self.go_on(cx, desired).await?;
        Ok(self.converged(cx, desired).await?.map_or(FindResult::Absent, FindResult::Present))
    }

    async fn preview(&self, cx: &ActionContext, desired: &R::Desired) -> Result<Preview, ActionError> {
        let actual = self.0.read(cx, desired).await?;
        let differences = self.0.diff(desired, actual.as_ref())?;
        match &actual {
            Some(actual) if differences.is_empty() => Preview::unchanged(&self.0.output(cx, desired, actual)?),
            _ => Ok(Preview::Changes { differences }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::Secrets;

    /// Two switches, of which the second one is refused as long as there are refusals.
    #[derive(Default)]
    struct Switches {
        on: Mutex<[bool; 2]>,
        refusals: Mutex<Vec<ActionError>>,
    }

    impl Resource for Switches {
        type Desired = ();
        type Actual = [bool; 2];
        type Output = ();
        const NAME: &'static str = "test.switches.ensure";
        const VERSION: u32 = 1;
        const SUMMARY: &'static str = "Turns two switches on.";

        async fn read(&self, _: &ActionContext, (): &()) -> Result<Option<[bool; 2]>, ActionError> {
            Ok(Some(*self.on.lock().expect("no panic")))
        }

        fn diff(&self, (): &(), actual: Option<&[bool; 2]>) -> Result<Vec<Difference>, ActionError> {
            let [first, second] = actual.copied().unwrap_or_default();
            let switches = [("first", first), ("second", second)];
            Ok(switches.into_iter().filter_map(|(what, on)| Difference::between(what, on, true)).collect())
        }

        async fn apply(
            &self,
            _: &ActionContext,
            (): &(),
            _: Option<&[bool; 2]>,
            _: &[Difference],
        ) -> Result<(), ActionError> {
            self.on.lock().expect("no panic")[0] = true;
            if let Some(refusal) = self.refusals.lock().expect("no panic").pop() {
                return Err(refusal);
            }
            self.on.lock().expect("no panic")[1] = true;
            Ok(())
        }

        fn output(&self, _: &ActionContext, (): &(), _: &[bool; 2]) -> Result<(), ActionError> {
            Ok(())
        }
    }

    async fn told(refusal: Option<ActionError>) -> Vec<String> {
        let switches = Ensure(Switches { refusals: Mutex::new(refusal.into_iter().collect()), ..Switches::default() });
        let cx = ActionContext::detached("test", Arc::new(Secrets::default()));
        let _ = switches.run(&cx, &()).await; // what it has told is what counts
        cx.changes()
    }

    #[tokio::test]
    async fn an_attempt_tells_what_it_has_changed_before_it_failed_and_not_what_was_refused() {
        let (first, second) = ("~ first: false -> true", "~ second: false -> true");
        assert_eq!(told(None).await, [first, second]);
        assert_eq!(told(Some(ActionError::permanent("no"))).await, [first], "the second one was refused");
        assert_eq!(told(Some(ActionError::transient("busy"))).await, [first]);
        assert_eq!(told(Some(ActionError::unknown("no reply"))).await, [first, second], "it may have been made");
        let patience = ActionError::throttled(None, "later");
        assert_eq!(told(Some(patience)).await, [""; 0], "no other request is made to find out");
    }
}
