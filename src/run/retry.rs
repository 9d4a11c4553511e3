use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use crate::plan::Retry;

/// Returns the delay before the next attempt, after `failures` failures.
///
/// The backoff grows exponentially up to the policy's maximum. The delay is chosen between half of
/// the backoff and the backoff, from `seed`, so that it is never longer than the maximum.
pub(super) fn backoff_delay(policy: &Retry, failures: u32, seed: u64) -> Duration {
    let longest = Duration::from_millis(policy.max_ms);
    // The jitter is added to the delay, and is as long as the delay at most.
    #[expect(clippy::cast_possible_truncation, reason = "a factor is a small number")]
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(policy.initial_ms) / 2)
        .with_max_delay(longest / 2)
        .with_factor(policy.factor as f32)
        .without_max_times()
        .with_jitter()
        .with_jitter_seed(seed)
        .build()
        .nth(failures.saturating_sub(1) as usize)
        .unwrap_or(longest)
        .min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_never_longer_than_the_maximum() {
        let policy = Retry { initial_ms: 500, max_ms: 9_000, ..Retry::default() };
        for seed in 0..1_000 {
            for failures in 1..12 {
                let backoff = (500 << (failures - 1)).min(9_000);
                let delay = backoff_delay(&policy, failures, seed).as_millis();
                assert!((backoff / 2..=backoff).contains(&delay), "{failures} failures, seed {seed}: {delay} ms");
            }
        }
    }
}
