use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use stargate_client::{StopReason, within};
use stargate_sdk::{ActionContext, ActionError};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::client::ResourceId;

/// Locks that let one step at a time write to a virtual network or route table.
///
/// ARM refuses a second write with `AnotherOperationInProgress`. The locks hold inside this
/// process; between processes, that refusal and the engine's retries have the same effect.
#[derive(Default)]
pub(crate) struct WriteLocks {
    by_resource: Mutex<BTreeMap<String, Arc<AsyncMutex<()>>>>,
}

/// Right to write to some resources. Dropping it releases their locks.
#[must_use = "dropping the guard releases the locks"]
pub(crate) struct WriteGuard {
    _held: Vec<OwnedMutexGuard<()>>,
}

impl WriteLocks {
    /// Waits until the locks of all `ids` are free, and takes them.
    ///
    /// # Errors
    /// `Transient`, if the attempt is cancelled or its deadline passes before.
    pub(crate) async fn lock_for_write(
        &self,
        cx: &ActionContext,
        ids: &[&ResourceId],
    ) -> Result<WriteGuard, ActionError> {
        let mut keys: Vec<String> = ids.iter().map(|id| id.key()).collect();
        keys.sort(); // the same order for all callers, or two could wait for each other
        keys.dedup();
        let mut held = Vec::with_capacity(keys.len());
        for key in keys {
            held.push(wait(cx, self.lock(key)).await?);
        }
        Ok(WriteGuard { _held: held })
    }

    /// Lock of a resource. Locks that are not in use are removed first, so that the map stays
    /// small.
    fn lock(&self, key: String) -> Arc<AsyncMutex<()>> {
        let mut locks = self.by_resource.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| Arc::strong_count(lock) > 1); // the others are neither held nor awaited
        locks.entry(key).or_default().clone()
    }
}

/// Waits for one lock.
///
/// # Errors
/// `Transient`, if the attempt is cancelled or its deadline passes before.
async fn wait(cx: &ActionContext, lock: Arc<AsyncMutex<()>>) -> Result<OwnedMutexGuard<()>, ActionError> {
    within(cx, lock.lock_owned()).await.map_err(|stopped| match stopped.reason {
        StopReason::Cancelled => ActionError::transient("interrupted"),
        StopReason::Deadline => ActionError::transient("timed out while another step was writing to the same resource"),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use stargate_sdk::Secrets;

    use super::*;

    fn id(name: &str) -> ResourceId {
        format!("/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/g/providers/N/t/{name}")
            .parse()
            .expect("id")
    }

    #[tokio::test]
    async fn a_second_writer_of_a_resource_waits_and_writers_of_others_do_not() {
        let (locks, cx) = (WriteLocks::default(), ActionContext::detached("s", Arc::new(Secrets::default())));
        let (a, a_again, b) = (id("a"), id("A"), id("b"));
        let first = locks.lock_for_write(&cx, &[&a, &b]).await.expect("free");
        let _other = locks.lock_for_write(&cx, &[&id("c")]).await.expect("free");
        let ids = [&a_again];
        let mut second = std::pin::pin!(locks.lock_for_write(&cx, &ids));
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut second).await.is_err(), "held");
        drop(first);
        let _second = second.await.expect("free again");
    }
}
