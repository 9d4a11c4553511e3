use std::time::Duration;

use stargate_sdk::{ActionContext, ActionError};

/// The pauses between looks at a condition: each longer than the last, up to a limit.
pub(crate) struct Pause {
    next: Duration,
    longest: Duration,
}

impl Pause {
    /// Starts with `first` and ends at `longest`.
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first, longest }
    }

    /// Waits, showing `waiting_for`. When the step's time is up, the error says what was waited for.
    pub(crate) async fn wait(&mut self, cx: &ActionContext, waiting_for: &str) -> Result<(), ActionError> {
        cx.progress(waiting_for);
        let pause = self.next;
        self.next = (self.next * 3 / 2).min(self.longest);
        cx.sleep(pause).await.map_err(|e| e.context(waiting_for))
    }
}
