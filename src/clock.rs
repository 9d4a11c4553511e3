//! The only source of time.

use std::{fmt, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Longest sleep: a machine that was suspended, or whose clock was set, notices within it.
const LONGEST_SLEEP: Duration = Duration::from_secs(15);

/// A moment, in milliseconds since the Unix epoch: what the journal stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// The moment `duration` later; saturates.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is before.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_millisecond(self.0) {
            Ok(timestamp) => write!(f, "{timestamp:.0}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

/// Tells the time: the system's, or one that a test sets.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<Arc<watch::Sender<UnixMillis>>>);

impl Clock {
    /// The system's time.
    pub fn system() -> Self {
        Self(None)
    }

    /// A time that stands still until [`Clock::set`].
    pub fn fixed(at: UnixMillis) -> Self {
        Self(Some(Arc::new(watch::Sender::new(at))))
    }

    /// Sets a fixed clock; the system's ignores it.
    pub fn set(&self, at: UnixMillis) {
        if let Some(fixed) = &self.0 {
            fixed.send_replace(at);
        }
    }

    /// Now.
    pub fn now(&self) -> UnixMillis {
        match &self.0 {
            Some(fixed) => *fixed.borrow(),
            None => UnixMillis(Timestamp::now().as_millisecond()),
        }
    }

    /// Waits until it is `at`.
    pub async fn until(&self, at: UnixMillis) {
        match &self.0 {
            Some(fixed) => {
                // The sender is held here: the wait ends with the time that is waited for.
                let _ = fixed.subscribe().wait_for(|now| *now >= at).await;
            }
            None => {
                while self.now() < at {
                    tokio::time::sleep(at.since(self.now()).min(LONGEST_SLEEP)).await;
                }
            }
        }
    }
}
