//! Guard against tests that hang.

use std::{future::Future, time::Duration};

use tokio::time::error::Elapsed;

/// Longest wait for a condition. No machine is so slow that a working program needs it: it decides
/// no test, and only ends one that would never end.
const LIMIT: Duration = Duration::from_mins(5);

/// Waits for `condition`, and returns an error instead of hanging if it never holds.
pub(crate) async fn hang_guard<T>(condition: impl Future<Output = T>) -> Result<T, Elapsed> {
    tokio::time::timeout(LIMIT, condition).await
}
