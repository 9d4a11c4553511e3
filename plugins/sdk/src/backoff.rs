use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// Delays between two polls or retries: exponential, with an upper limit and full jitter.
///
/// Full jitter means that each delay is drawn evenly between zero and the exponential bound, so
/// that callers that failed together do not return together ("Exponential Backoff And Jitter", AWS
/// Architecture Blog, 2015).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    initial: Duration,
    factor: f32,
    max: Duration,
}

impl Backoff {
    /// Delays of at most `initial` at first, at most twice as much each time, and never more than
    /// `max`.
    pub const fn new(initial: Duration, max: Duration) -> Self {
        Self { initial, factor: 2.0, max }
    }

    /// Multiplies the bound by `factor` each time; at least 1.
    #[must_use]
    pub const fn with_factor(mut self, factor: f32) -> Self {
        self.factor = factor;
        self
    }

    /// The delays, without end.
    pub fn delays(&self) -> Delays {
        Delays {
            bounds: ExponentialBuilder::new()
                .with_min_delay(self.initial)
                .with_max_delay(self.max)
                .with_factor(self.factor)
                .without_max_times()
                .build(),
            max: self.max,
        }
    }
}

impl Default for Backoff {
    /// Delays for polling a server: 250 milliseconds at first, five seconds at most.
    fn default() -> Self {
        Self::new(Duration::from_millis(250), Duration::from_secs(5))
    }
}

/// The delays of a [`Backoff`], one after the other, without end.
#[derive(Debug)]
pub struct Delays {
    bounds: ExponentialBackoff,
    max: Duration,
}

impl Delays {
    /// The next delay.
    pub fn next_delay(&mut self) -> Duration {
        let bound = self.bounds.next().map_or(self.max, |bound| bound.min(self.max));
        bound.mul_f32(rand::random())
    }
}

impl Iterator for Delays {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.next_delay())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_stays_below_its_exponential_bound() {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let bounds = [100, 200, 400, 800, 1000, 1000, 1000].map(Duration::from_millis);
        for _ in 0..100 {
            for (delay, bound) in backoff.delays().zip(bounds) {
                assert!(delay <= bound, "{delay:?} of {bound:?}");
            }
        }
    }

    #[test]
    fn delays_differ_and_use_the_whole_interval() {
        let delays: Vec<Duration> =
            Backoff::new(Duration::from_secs(1), Duration::from_secs(1)).delays().take(1000).collect();
        assert!(delays.iter().any(|delay| *delay < Duration::from_millis(200)), "the lower part is used");
        assert!(delays.iter().any(|delay| *delay > Duration::from_millis(800)), "the upper part is used");
    }

    #[test]
    fn a_limit_below_the_initial_delay_counts() {
        let backoff = Backoff::new(Duration::from_secs(9), Duration::from_secs(1));
        assert!(backoff.delays().take(20).all(|delay| delay <= Duration::from_secs(1)));
    }
}
