use std::time::Duration;

use stargate_sdk::{ActionContext, ActionError};

/// The pauses between looks at a condition: each longer than the last, up to a limit.
///
/// Remembers what was seen last, for the error when the step's time is up.
pub(crate) struct Pause {
    next: Duration,
    longest: Duration,
    seen: Option<String>,
}

impl Pause {
    /// Starts with `first` and ends at `longest`.
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first, longest, seen: None }
    }

    /// Waits after a look that saw `what`.
    pub(crate) async fn after_seeing(&mut self, cx: &ActionContext, what: String) -> Result<(), ActionError> {
        cx.progress(&what);
        self.seen = Some(what);
        self.wait(cx, None).await
    }

    /// Waits after a look that failed with `error`. What was seen before it says more, should the time be up.
    pub(crate) async fn after_failure(&mut self, cx: &ActionContext, error: ActionError) -> Result<(), ActionError> {
        cx.progress(&error.message);
        self.wait(cx, Some(error)).await
    }

    async fn wait(&mut self, cx: &ActionContext, failure: Option<ActionError>) -> Result<(), ActionError> {
        let pause = self.next;
        self.next = (self.next * 3 / 2).min(self.longest);
        cx.sleep(pause).await.map_err(|e| self.gave_up(e, failure))
    }

    fn gave_up(&self, error: ActionError, failure: Option<ActionError>) -> ActionError {
        match (&self.seen, failure) {
            (Some(seen), _) => error.context(seen),
            (None, Some(failure)) => ActionError { hint: failure.hint, ..error.context(failure.message) },
            (None, None) => error,
        }
    }
}
