use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::{oneshot, watch};

/// Requests that a fault has paused, until they are released or their clients disconnect.
#[derive(Debug)]
pub struct PausedRequests {
    queue: Mutex<PausedQueue>,
    count: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct PausedQueue {
    next: u64,
    waiting: BTreeMap<u64, (PausedRequest, oneshot::Sender<()>)>,
}

/// Request that a fault has paused.
#[derive(Debug, Clone, Serialize)]
pub struct PausedRequest {
    /// Id for its release.
    pub id: u64,
    /// Number of the request in the log.
    pub request: u64,
    /// HTTP method of the request.
    pub method: String,
    /// Path of the request, without query.
    pub path: String,
    /// True if it has taken effect already.
    pub after_effect: bool,
    /// Time at which it was paused.
    pub since: Timestamp,
}

impl Default for PausedRequests {
    fn default() -> Self {
        Self { queue: Mutex::default(), count: watch::Sender::new(0) }
    }
}

impl PausedRequests {
    /// Waits until the request is released. If the client disconnects, the server drops the future
    /// and the request is no longer paused.
    pub(crate) async fn pause(&self, request: u64, method: &str, path: &str, after_effect: bool) {
        let (sender, receiver) = oneshot::channel();
        let id = {
            let mut waiting = self.lock();
            waiting.next += 1;
            let id = waiting.next;
            let paused = PausedRequest {
                id,
                request,
                method: method.to_owned(),
                path: path.to_owned(),
                after_effect,
                since: Timestamp::now(),
            };
            waiting.waiting.insert(id, (paused, sender));
            self.count.send_replace(waiting.waiting.len());
            id
        };
        let _guard = PauseGuard { requests: self, id };
        // An error is a release too: the sender was dropped.
        let _released = receiver.await;
    }

    /// Returns the paused requests in order of arrival.
    pub fn list(&self) -> Vec<PausedRequest> {
        self.lock().waiting.values().map(|(paused, _)| paused.clone()).collect()
    }

    /// Releases one request, or all, and returns their number.
    pub fn release(&self, id: Option<u64>) -> usize {
        let mut queue = self.lock();
        let ids: Vec<u64> = queue.waiting.keys().copied().filter(|each| id.is_none_or(|id| id == *each)).collect();
        let released = ids.iter().filter_map(|id| queue.waiting.remove(id)).filter(|(_, sender)| !sender.is_closed());
        let count = released.filter_map(|(_, sender)| sender.send(()).ok()).count();
        self.count.send_replace(queue.waiting.len());
        count
    }

    /// Returns the number of paused requests; it changes with every pause and release.
    pub fn watch(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, PausedQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct PauseGuard<'a> {
    requests: &'a PausedRequests,
    id: u64,
}

impl Drop for PauseGuard<'_> {
    fn drop(&mut self) {
        let mut queue = self.requests.lock();
        queue.waiting.remove(&self.id);
        self.requests.count.send_replace(queue.waiting.len());
    }
}
