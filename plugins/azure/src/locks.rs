use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use stargate_sdk::{ActionContext, ActionError};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::ResourceId;

/// One writer at a time for each network and route table: ARM answers a second one with `AnotherOperationInProgress`.
///
/// It holds inside this process; between processes ARM's own answer and the engine's retries do.
#[derive(Default)]
pub(crate) struct Locks {
    by_resource: Mutex<BTreeMap<String, Arc<AsyncMutex<()>>>>,
}

/// The right to write to some resources, until dropped.
#[must_use = "the right ends when this is dropped"]
pub(crate) struct Guard {
    _held: Vec<OwnedMutexGuard<()>>,
}

impl Locks {
    /// Waits for the right to write to all of `ids`.
    pub(crate) async fn hold(&self, cx: &ActionContext, ids: &[&ResourceId]) -> Result<Guard, ActionError> {
        let mut keys: Vec<String> = ids.iter().map(|id| id.key()).collect();
        keys.sort(); // one order for all, or two callers could wait for each other
        keys.dedup();
        let mut held = Vec::with_capacity(keys.len());
        for key in keys {
            held.push(wait(cx, self.lock(key)).await?);
        }
        Ok(Guard { _held: held })
    }

    fn lock(&self, key: String) -> Arc<AsyncMutex<()>> {
        let mut locks = self.by_resource.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| Arc::strong_count(lock) > 1); // nobody holds or awaits the others
        locks.entry(key).or_default().clone()
    }
}

async fn wait(cx: &ActionContext, lock: Arc<AsyncMutex<()>>) -> Result<OwnedMutexGuard<()>, ActionError> {
    tokio::select! {
        guard = lock.lock_owned() => Ok(guard),
        () = cx.cancellation().cancelled() => Err(ActionError::transient("interrupted")),
        () = tokio::time::sleep(cx.remaining()) => {
            Err(ActionError::transient("gave up waiting for another step's write to the same resource"))
        }
    }
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
    async fn the_second_writer_waits_for_the_first_and_others_do_not() {
        let (locks, cx) = (Locks::default(), ActionContext::detached("s", Arc::new(Secrets::default())));
        let (a, a_again, b) = (id("a"), id("A"), id("b"));
        let first = locks.hold(&cx, &[&a, &b]).await.expect("free");
        let _other = locks.hold(&cx, &[&id("c")]).await.expect("free");
        let ids = [&a_again];
        let mut second = std::pin::pin!(locks.hold(&cx, &ids));
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut second).await.is_err(), "held");
        drop(first);
        let _second = second.await.expect("free again");
    }
}
