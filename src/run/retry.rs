use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use crate::plan::Retry;

/// Returns the delay before the next attempt, after `failures` failures.
///
/// The delay grows exponentially up to the policy's maximum and has full jitter, computed from
/// `seed`.
pub(super) fn backoff_delay(policy: &Retry, failures: u32, seed: u64) -> Duration {
    #[expect(clippy::cast_possible_truncation, reason = "a factor is a small number")]
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(policy.initial_ms))
        .with_max_delay(Duration::from_millis(policy.max_ms))
        .with_factor(policy.factor as f32)
        .without_max_times()
        .with_jitter()
        .with_jitter_seed(seed)
        .build()
        .nth(failures.saturating_sub(1) as usize)
        .unwrap_or(Duration::from_millis(policy.max_ms))
}
