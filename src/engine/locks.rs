use std::time::Duration;

use tokio::time::Instant;

use super::{EngineError, EngineOptions, LockHolder};
use crate::{
    event::{Event, EventKind},
    id::RunId,
    journal::{HeldLock, LockEviction, Owner},
};

/// First delay before a held lock is checked again: the time that a short run takes.
const MIN_DELAY: Duration = Duration::from_millis(100);
/// Maximum delay before a held lock is checked again: a caller that waits for minutes does not
/// notice seconds.
const MAX_DELAY: Duration = Duration::from_secs(5);

/// Checks that no run with a live owner, other than `own`, holds one of `locks`.
///
/// Returns the runs that hold one of them and whose owner has exited or lost its lease: they lose
/// their locks.
pub(super) async fn check_free(
    options: &EngineOptions,
    here: &Owner,
    locks: &[String],
    own: Option<&RunId>,
) -> Result<Vec<LockEviction>, EngineError> {
    if locks.is_empty() {
        return Ok(Vec::new());
    }
    let held = options.journal.holders(locks.to_vec()).await?;
    let mut evictions = Vec::new();
    for HeldLock { name, holder } in held.into_iter().filter(|held| Some(&held.holder.id) != own) {
        if let Some(owner) = holder.live_owner(here, options.clock.now()) {
            let owner = owner.clone();
            let (run, workflow, until) = (holder.id, holder.workflow, holder.lease_until);
            return Err(EngineError::Locked(Box::new(LockHolder { lock: name, run, workflow, owner, until })));
        }
        evictions.push(LockEviction { run: holder.id, seen_epoch: holder.epoch, seen_lease: holder.lease_until });
    }
    evictions.sort_by(|a, b| a.run.cmp(&b.run));
    evictions.dedup();
    Ok(evictions)
}

/// Wait for locks, with a deadline.
pub(super) struct LockWait {
    deadline: Instant,
    delay: Duration,
    /// Lock and holder that were reported last.
    reported: Option<(String, RunId)>,
}

impl LockWait {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { deadline: Instant::now() + timeout, delay: MIN_DELAY, reported: None }
    }

    pub(super) fn is_expired(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Returns the delay before the next check. It doubles each time and does not exceed the
    /// deadline.
    pub(super) fn next_delay(&mut self) -> Duration {
        let delay = self.delay.min(self.deadline.saturating_duration_since(Instant::now()));
        self.delay = (self.delay * 2).min(MAX_DELAY);
        delay
    }

    /// Reports the lock that `run` waits for, unless it was reported before.
    pub(super) fn report(&mut self, options: &EngineOptions, run: &RunId, held: &LockHolder) {
        let awaited = (held.lock.clone(), held.run.clone());
        if self.reported.as_ref() == Some(&awaited) {
            return;
        }
        let LockHolder { lock, run: holder, workflow, owner, .. } = held.clone();
        let kind = EventKind::LockAwaited { lock, holder, workflow, owner: owner.to_string() };
        options.reporter.report(Event { at: options.clock.now(), run: run.clone(), kind });
        self.reported = Some(awaited);
    }
}
