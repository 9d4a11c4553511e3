//! Points in time, and their only source.

use std::{fmt, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stargate_sdk::BootTime;
use tokio::sync::watch;

/// Maximum duration of one sleep: a suspension of the machine or a change of its clock is noticed
/// within it.
const MAX_SLEEP: Duration = Duration::from_secs(15);
/// Difference from which on a clock that shows an earlier time than before was set back. Smaller
/// ones are corrections of the clock.
const SET_BACK: Duration = Duration::from_mins(1);

/// Point in time, in milliseconds since the Unix epoch, as the journal stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// Returns the time `duration` later, or the maximum if that is out of range.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Returns the duration since `earlier`; zero if `earlier` is later.
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

/// Source of time: the system's clock, or one that a test sets.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<Arc<watch::Sender<UnixMillis>>>);

impl Clock {
    /// Returns the system's clock.
    pub fn system() -> Self {
        Self(None)
    }

    /// Returns a clock that stays at `at` until [`Clock::set`].
    pub fn fixed(at: UnixMillis) -> Self {
        Self(Some(Arc::new(watch::Sender::new(at))))
    }

    /// Sets a fixed clock. Has no effect on the system's clock.
    pub fn set(&self, at: UnixMillis) {
        if let Some(fixed) = &self.0 {
            fixed.send_replace(at);
        }
    }

    /// Returns the current time.
    pub fn now(&self) -> UnixMillis {
        match &self.0 {
            Some(fixed) => *fixed.borrow(),
            None => UnixMillis(Timestamp::now().as_millisecond()),
        }
    }

    /// Waits until the time is `at` or later, and returns true; false as soon as the clock was set
    /// back by more than a minute since `seen`, or since the latest time that this call has read.
    pub async fn until_or_set_back(&self, at: UnixMillis, seen: UnixMillis) -> bool {
        let mut latest = seen;
        loop {
            let now = self.now();
            if now >= at || latest.since(now) > SET_BACK {
                return now >= at;
            }
            latest = latest.max(now);
            match &self.0 {
                Some(fixed) => {
                    // The sender is alive as long as `self`, so the wait ends only at another time.
                    let _ = fixed.subscribe().wait_for(|time| *time != now).await;
                }
                None => tokio::time::sleep(at.since(now).min(MAX_SLEEP)).await,
            }
        }
    }

    /// Waits until the time is `at` or later, or `due` has passed, which is the same time by a
    /// clock that is never set and goes on while the machine is suspended: neither a suspension nor
    /// a system clock that was set back prolongs the wait.
    pub async fn until_or_due(&self, at: UnixMillis, due: BootTime) {
        if self.0.is_some() {
            return self.until(at).await;
        }
        while let Some(sleep) = next_sleep(at.since(self.now()), due.since(BootTime::now())) {
            tokio::time::sleep(sleep).await;
        }
    }

    /// Waits until the time is `at` or later.
    pub async fn until(&self, at: UnixMillis) {
        match &self.0 {
            Some(fixed) => {
                // The sender is alive as long as `self`, so the wait ends only at that time.
                let _ = fixed.subscribe().wait_for(|now| *now >= at).await;
            }
            None => {
                while self.now() < at {
                    tokio::time::sleep(at.since(self.now()).min(MAX_SLEEP)).await;
                }
            }
        }
    }
}

/// Duration after which the clocks are read again, given the rest of a wait by each of them; `None`
/// once it has ended by one. Sleeps do not count while the machine is suspended.
fn next_sleep(by_system_clock: Duration, by_boot_clock: Duration) -> Option<Duration> {
    let rest = by_system_clock.min(by_boot_clock);
    (!rest.is_zero()).then(|| rest.min(MAX_SLEEP))
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn a_wait_ends_by_the_first_clock_and_is_looked_at_often() {
        let minute = Duration::from_mins(1);
        // During a suspension both clocks continue; the system clock was then set back by an hour.
        assert_eq!(next_sleep(Duration::ZERO, Duration::ZERO), None);
        assert_eq!(next_sleep(minute * 60, Duration::ZERO), None);
        assert_eq!(next_sleep(Duration::ZERO, minute), None);
        assert_eq!(next_sleep(minute * 60, minute), Some(MAX_SLEEP));
        assert_eq!(next_sleep(minute, Duration::from_secs(2)), Some(Duration::from_secs(2)));
    }

    #[tokio::test]
    async fn a_clock_that_is_set_back_or_forth_does_not_prolong_a_wait() {
        let (hour, instant) = (Duration::from_hours(1), Duration::from_millis(20));
        // The clock was set back by an hour during the wait.
        let system = Clock::system();
        let (began, due) = (Instant::now(), BootTime::now().plus(instant));
        system.until_or_due(system.now().plus(hour), due).await;
        assert!(began.elapsed() >= instant && BootTime::now() >= due);
        // It was set forth by more than the wait.
        let waiting = system.until_or_due(system.now(), BootTime::now().plus(hour));
        tokio::pin!(waiting);
        assert!(futures::poll!(&mut waiting).is_ready(), "the wait has ended by the system clock");
        let fixed = Clock::fixed(UnixMillis(0));
        let waiting = fixed.until_or_due(UnixMillis(0).plus(hour), BootTime::now());
        tokio::pin!(waiting);
        assert!(futures::poll!(&mut waiting).is_pending(), "a fixed clock has its own time");
        fixed.set(UnixMillis(0).plus(hour));
        waiting.await;
    }
}
