use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::{oneshot, watch};

/// Requests that a fault keeps waiting, until they are released or their client goes away.
#[derive(Debug)]
pub struct Holds {
    held: Mutex<Held>,
    count: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Held {
    next: u64,
    waiting: BTreeMap<u64, (Hold, oneshot::Sender<()>)>,
}

/// A request that waits.
#[derive(Debug, Clone, Serialize)]
pub struct Hold {
    /// Names it in a release.
    pub id: u64,
    /// Number of the request in the log.
    pub request: u64,
    /// Its method.
    pub method: String,
    /// Its path, without query.
    pub path: String,
    /// Whether its effect has happened.
    pub after_effect: bool,
    /// Since when.
    pub since: Timestamp,
}

impl Default for Holds {
    fn default() -> Self {
        Self { held: Mutex::default(), count: watch::Sender::new(0) }
    }
}

impl Holds {
    /// Waits until the request is released. Dropping the future, as the server does when the client goes away, ends the hold.
    pub(crate) async fn hold(&self, request: u64, method: &str, path: &str, after_effect: bool) {
        let (sender, receiver) = oneshot::channel();
        let id = {
            let mut waiting = self.lock();
            waiting.next += 1;
            let id = waiting.next;
            let hold = Hold {
                id,
                request,
                method: method.to_owned(),
                path: path.to_owned(),
                after_effect,
                since: Timestamp::now(),
            };
            waiting.waiting.insert(id, (hold, sender));
            self.count.send_replace(waiting.waiting.len());
            id
        };
        let _guard = Guard { holds: self, id };
        // An error is a release too: the sender was dropped.
        let _released = receiver.await;
    }

    /// The requests that wait now.
    pub fn list(&self) -> Vec<Hold> {
        self.lock().waiting.values().map(|(hold, _)| hold.clone()).collect()
    }

    /// Lets one request go on, or all, and gives how many.
    pub fn release(&self, id: Option<u64>) -> usize {
        let mut held = self.lock();
        let ids: Vec<u64> = held.waiting.keys().copied().filter(|each| id.is_none_or(|id| id == *each)).collect();
        let released = ids.iter().filter_map(|id| held.waiting.remove(id)).filter(|(_, sender)| !sender.is_closed());
        let count = released.filter_map(|(_, sender)| sender.send(()).ok()).count();
        self.count.send_replace(held.waiting.len());
        count
    }

    /// Number of requests that wait; changes whenever it does.
    pub fn watch(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Guard<'a> {
    holds: &'a Holds,
    id: u64,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let mut held = self.holds.lock();
        held.waiting.remove(&self.id);
        self.holds.count.send_replace(held.waiting.len());
    }
}
