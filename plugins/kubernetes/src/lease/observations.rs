use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;
use stargate_kubernetes_client::json::text_or_empty;

/// Times since which this process has seen leases unchanged, by the monotonic clock.
///
/// That clock stands still while the machine is suspended, so a lease never seems to be older than
/// it is.
#[derive(Default)]
pub(super) struct Observations(Mutex<HashMap<String, Observation>>);

struct Observation {
    /// Version of the object, which each change replaces.
    version: String,
    since: Instant,
}

impl Observations {
    /// Records a lease that was read at `at`, and returns the time for which it is unchanged.
    pub(super) fn unchanged_for(&self, name: &str, lease: &Value, at: Instant) -> Duration {
        let version =
            format!("{} {}", text_or_empty(lease, "/metadata/uid"), text_or_empty(lease, "/metadata/resourceVersion"));
        let mut observed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match observed.get(name) {
            Some(seen) if seen.version == version => at.saturating_duration_since(seen.since),
            _ => {
                observed.insert(name.to_owned(), Observation { version, since: at });
                Duration::ZERO
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_change_of_the_lease_begins_a_new_observation() {
        let (observations, start) = (Observations::default(), Instant::now());
        let second = Duration::from_secs(1);
        let lease = |version: &str| json!({"metadata": {"uid": "u", "resourceVersion": version}});
        assert_eq!(observations.unchanged_for("a", &lease("1"), start), Duration::ZERO);
        assert_eq!(observations.unchanged_for("a", &lease("1"), start + 9 * second), 9 * second);
        assert_eq!(observations.unchanged_for("a", &lease("2"), start + 10 * second), Duration::ZERO);
        assert_eq!(observations.unchanged_for("a", &lease("2"), start + 11 * second), second);
        assert_eq!(observations.unchanged_for("b", &lease("2"), start + 11 * second), Duration::ZERO);
    }
}
