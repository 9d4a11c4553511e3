use std::{fmt, future::Future, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Action, ActionContext, ActionError, Backoff, FailureKind, FindResult, Nature, Preview, Recovery};

/// Delays between reads after a change: most servers show it within milliseconds.
const READ_BACK: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));

/// One property in which actual and desired state differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Name of the property or object, such as `ip forwarding` or `route table`.
    pub what: String,
    /// Actual value; `null` if there is none.
    pub before: Value,
    /// Desired value; `null` if the object must be deleted.
    pub after: Value,
}

impl Difference {
    /// The difference between `before`, the actual value of `what`, and `after`, the desired one.
    pub fn new(what: impl Into<String>, before: impl Into<Value>, after: impl Into<Value>) -> Self {
        Self { what: what.into(), before: before.into(), after: after.into() }
    }

    /// The difference in `what`, or `None` if the two values are equal.
    pub fn between(what: &str, before: impl Into<Value>, after: impl Into<Value>) -> Option<Self> {
        let (before, after) = (before.into(), after.into());
        (before != after).then(|| Self::new(what, before, after))
    }

    /// The difference of an object that must be created.
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

/// An object of an external system with a desired state. [`Ensure`] makes an [`Action`] of it.
///
/// An object that exists is not necessarily correct: `diff` compares each property that `Desired`
/// contains, and `apply` changes only those.
pub trait Resource: Send + Sync + 'static {
    /// Type of the desired state, which is the step's `with:`.
    type Desired: DeserializeOwned + JsonSchema + Send + Sync;
    /// Type of the actual state.
    type Actual: Send + Sync;
    /// Type of the output, which expressions of other steps refer to.
    type Output: Serialize + DeserializeOwned + JsonSchema + Send + Sync;

    /// Name of the action: `provider.noun.ensure`.
    const NAME: &'static str;
    /// Version that plans record; increased when input, output or meaning change.
    const VERSION: u32;
    /// Sentence in the third person that describes the action to users.
    const SUMMARY: &'static str;
    /// Maximum time after `apply` until a read shows the change.
    const CONSISTENCY_TIMEOUT: Duration = Duration::from_mins(1);

    /// Reads actual state; `None` if the object does not exist. Must not change anything.
    ///
    /// # Errors
    /// [`ActionError`], if actual state cannot be determined.
    fn read(
        &self,
        cx: &ActionContext,
        desired: &Self::Desired,
    ) -> impl Future<Output = Result<Option<Self::Actual>, ActionError>> + Send;

    /// Compares actual and desired state. Returns no differences if they are equal.
    ///
    /// # Errors
    /// `Permanent` for a difference that cannot be changed in place.
    fn diff(&self, desired: &Self::Desired, actual: Option<&Self::Actual>) -> Result<Vec<Difference>, ActionError>;

    /// Writes the differences and waits until the external system has accepted them.
    ///
    /// # Errors
    /// [`ActionError`]; unless its kind is `Unknown`, differences that another `diff` still shows
    /// were not written.
    fn apply(
        &self,
        cx: &ActionContext,
        desired: &Self::Desired,
        actual: Option<&Self::Actual>,
        differences: &[Difference],
    ) -> impl Future<Output = Result<(), ActionError>> + Send;

    /// Computes the output, when actual equals desired state.
    ///
    /// # Errors
    /// [`ActionError`], if actual state lacks a value of the output.
    fn output(
        &self,
        cx: &ActionContext,
        desired: &Self::Desired,
        actual: &Self::Actual,
    ) -> Result<Self::Output, ActionError>;

    /// Computes the fields of the output that the desired state decides, as an object; `null` if
    /// none is certain before the change.
    fn certain(&self, desired: &Self::Desired) -> Value {
        let _ = desired;
        Value::Null
    }

    /// Lists the differences that only a new object could remove: `diff` is an error then.
    fn immutable(&self, desired: &Self::Desired, actual: &Self::Actual) -> Vec<Difference> {
        let _ = (desired, actual);
        Vec::new()
    }

    /// Waits for what an earlier attempt started and recorded in its checkpoint, such as a
    /// long-running operation.
    ///
    /// # Errors
    /// [`ActionError`], for instance if the operation failed.
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

/// Makes an [`Action`] of a [`Resource`]: waits for an operation that was started, reads, compares,
/// writes the differences, and reads until they are gone.
pub struct Ensure<R>(pub R);

impl<R: Resource> Ensure<R> {
    /// Waits for what an earlier attempt started, before anything is compared.
    async fn resume_checkpoint(&self, cx: &ActionContext, desired: &R::Desired) -> Result<(), ActionError> {
        match cx.checkpoint() {
            Some(checkpoint) => self.0.resume(cx, desired, checkpoint).await,
            None => Ok(()),
        }
    }

    /// Returns the output if actual equals desired state.
    async fn output_if_converged(
        &self,
        cx: &ActionContext,
        desired: &R::Desired,
    ) -> Result<Option<R::Output>, ActionError> {
        let actual = self.0.read(cx, desired).await?;
        match (&actual, self.0.diff(desired, actual.as_ref())?.is_empty()) {
            (Some(actual), true) => self.0.output(cx, desired, actual).map(Some),
            _ => Ok(None),
        }
    }

    /// The differences that a failed `apply` certainly did not write; none if it may have written
    /// them.
    async fn unwritten_differences(
        &self,
        cx: &ActionContext,
        desired: &R::Desired,
        differences: Vec<Difference>,
        error: &ActionError,
    ) -> Vec<Difference> {
        match error.kind {
            FailureKind::Unknown => Vec::new(),
            // The attempt was stopped in the middle, or an operation that was started is still
            // running.
            _ if cx.cancellation().is_cancelled() || cx.remaining().is_zero() || cx.checkpoint().is_some() => {
                Vec::new()
            }
            // Some differences may have been written before another one was refused.
            FailureKind::Transient | FailureKind::Permanent if differences.len() > 1 => {
                let read = async { self.0.diff(desired, self.0.read(cx, desired).await?.as_ref()) };
                let Ok(remaining) = read.await else { return differences };
                let remains = |it: &Difference| remaining.iter().any(|difference| difference.what == it.what);
                differences.into_iter().filter(remains).collect()
            }
            FailureKind::Transient | FailureKind::Permanent | FailureKind::Throttled { .. } => differences,
        }
    }

    /// Polls until actual equals desired state, for at most `CONSISTENCY_TIMEOUT`.
    async fn read_back(&self, cx: &ActionContext, desired: &R::Desired) -> Result<R::Output, ActionError> {
        let started = cx.elapsed();
        let mut delays = READ_BACK.delays();
        loop {
            if let Some(output) = self.output_if_converged(cx, desired).await? {
                return Ok(output);
            }
            if cx.elapsed() > started + R::CONSISTENCY_TIMEOUT {
                return Err(self.consistency_error(cx, desired).await?);
            }
            cx.sleep(delays.next_delay()).await?;
        }
    }

    /// The error of a change that was accepted and is not visible in time.
    async fn consistency_error(&self, cx: &ActionContext, desired: &R::Desired) -> Result<ActionError, ActionError> {
        let actual = self.0.read(cx, desired).await?;
        let remaining: Vec<_> = self.0.diff(desired, actual.as_ref())?.iter().map(ToString::to_string).collect();
        Ok(ActionError::transient(format!(
            "the change was accepted but is not visible after {:?}: {}",
            R::CONSISTENCY_TIMEOUT,
            remaining.join("; ")
        )))
    }
}

impl<R: Resource> Action for Ensure<R> {
    type Input = R::Desired;
    type Output = R::Output;
    const NAME: &'static str = R::NAME;
    const VERSION: u32 = R::VERSION;
    const NATURE: Nature = Nature::Ensure;
    const RECOVERY: Recovery = Recovery::Find;
    const SUMMARY: &'static str = R::SUMMARY;

    async fn run(&self, cx: &ActionContext, desired: &R::Desired) -> Result<R::Output, ActionError> {
        self.resume_checkpoint(cx, desired).await?;
        let actual = self.0.read(cx, desired).await?;
        let differences = self.0.diff(desired, actual.as_ref())?;
        match &actual {
            Some(actual) if differences.is_empty() => self.0.output(cx, desired, actual),
            _ => {
                // Recorded before they are written: an attempt that is cancelled in the middle may
                // have written them.
                for difference in &differences {
                    cx.changed(difference.to_string());
                }
                if let Err(error) = self.0.apply(cx, desired, actual.as_ref(), &differences).await {
                    for unwritten in self.unwritten_differences(cx, desired, differences, &error).await {
                        cx.retract_change(&unwritten.to_string());
                    }
                    return Err(error);
                }
                self.read_back(cx, desired).await
            }
        }
    }

    async fn find(&self, cx: &ActionContext, desired: &R::Desired) -> Result<FindResult<R::Output>, ActionError> {
        self.resume_checkpoint(cx, desired).await?;
        Ok(self.output_if_converged(cx, desired).await?.map_or(FindResult::Absent, FindResult::Present))
    }

    async fn preview(&self, cx: &ActionContext, desired: &R::Desired) -> Result<Preview, ActionError> {
        let actual = self.0.read(cx, desired).await?;
        let differences = match self.0.diff(desired, actual.as_ref()) {
            Ok(differences) => differences,
            Err(error) => {
                let forced_by = actual.map(|actual| self.0.immutable(desired, &actual)).unwrap_or_default();
                return if forced_by.is_empty() { Err(error) } else { Ok(Preview::Replacement { forced_by, error }) };
            }
        };
        match &actual {
            Some(actual) if differences.is_empty() => Preview::unchanged(&self.0.output(cx, desired, actual)?),
            _ => Ok(Preview::Changes { differences, certain: self.0.certain(desired) }),
        }
    }

    fn certain_output(&self, desired: &R::Desired) -> Value {
        self.0.certain(desired)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::Secrets;

    /// Two switches. The second one is refused as long as there are refusals.
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

    async fn recorded_changes(refusal: Option<ActionError>) -> Vec<String> {
        let switches = Ensure(Switches { refusals: Mutex::new(refusal.into_iter().collect()), ..Switches::default() });
        let cx = ActionContext::detached("test", Arc::new(Secrets::default()));
        let _ = switches.run(&cx, &()).await; // the recorded changes are what the test compares
        cx.changes()
    }

    #[tokio::test]
    async fn a_failed_attempt_records_the_changes_that_it_made_and_not_those_that_were_refused() {
        let (first, second) = ("~ first: false -> true", "~ second: false -> true");
        assert_eq!(recorded_changes(None).await, [first, second]);
        assert_eq!(recorded_changes(Some(ActionError::permanent("no"))).await, [first], "the second one was refused");
        assert_eq!(recorded_changes(Some(ActionError::transient("busy"))).await, [first]);
        assert_eq!(
            recorded_changes(Some(ActionError::unknown("lost response"))).await,
            [first, second],
            "it may have been written"
        );
        let throttled = ActionError::throttled(None, "later");
        assert_eq!(recorded_changes(Some(throttled)).await, [""; 0], "no other request is made");
    }
}
