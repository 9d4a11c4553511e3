use std::time::Duration;

use tokio::time::Instant;

use super::{EngineError, EngineOptions, LockHolder};
use crate::{
    event::{Event, EventKind},
    id::RunId,
    journal::{HeldLock, LockEviction, Owner, SeenTaker},
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

/// Checks that no other run than the one that was seen has taken the lock.
pub(super) async fn check_last_taker(options: &EngineOptions, seen: &SeenTaker) -> Result<(), EngineError> {
    let mut takers = options.journal.last_takers(vec![seen.lock.clone()]).await?.into_iter();
    takers
        .find(|taking| Some(&taking.run) != seen.run.as_ref())
        .map_or(Ok(()), |by| Err(EngineError::TakenMeanwhile(by)))
}

/// A lock that another run holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AwaitedLock {
    pub(super) lock: String,
    /// Id of the holder.
    holder: String,
    workflow: String,
    owner: String,
    /// True if the holder may have ended, which only observation can tell.
    may_have_ended: bool,
}

impl AwaitedLock {
    /// Returns the lock because of which a run could not start, if `error` is about one.
    pub(super) fn of(error: &EngineError) -> Option<Self> {
        match error {
            EngineError::Locked(held) => Some(Self {
                lock: held.lock.clone(),
                holder: held.run.to_string(),
                workflow: held.workflow.clone(),
                owner: held.owner.to_string(),
                may_have_ended: false,
            }),
            EngineError::LockedElsewhere(held) => Some(Self {
                lock: held.lock.clone(),
                holder: held.holder.run.clone(),
                workflow: held.holder.workflow.clone(),
                owner: held.holder.owner.clone(),
                may_have_ended: held.holder.may_have_ended,
            }),
            _ => None,
        }
    }
}

/// Wait for locks, with a timeout.
pub(super) struct LockWait {
    started: Instant,
    timeout: Duration,
    /// Time after which a lock in an external system has expired, if its holder has ended.
    expiry: Duration,
    delay: Duration,
    /// Lock that was reported last.
    reported: Option<AwaitedLock>,
}

impl LockWait {
    pub(super) fn new(timeout: Duration, lease: Duration) -> Self {
        Self { started: Instant::now(), timeout, expiry: lease + MAX_DELAY, delay: MIN_DELAY, reported: None }
    }

    /// True if the wait has not timed out. A lock whose holder may have ended is awaited at least
    /// until it has expired: otherwise a run that does not wait could never take it.
    pub(super) fn goes_on_for(&self, lock: &AwaitedLock) -> bool {
        let limit = if lock.may_have_ended { self.timeout.max(self.expiry) } else { self.timeout };
        self.started.elapsed() < limit
    }

    /// Returns the delay before the next check. It doubles each time and does not exceed the
    /// timeout, if there is one.
    pub(super) fn next_delay(&mut self) -> Duration {
        let left = self.timeout.saturating_sub(self.started.elapsed());
        let delay = if left.is_zero() { self.delay } else { self.delay.min(left) };
        self.delay = (self.delay * 2).min(MAX_DELAY);
        delay
    }

    /// Reports the lock that `run` waits for, unless it was reported before.
    pub(super) fn report(&mut self, options: &EngineOptions, run: &RunId, awaited: &AwaitedLock) {
        if self.reported.as_ref() == Some(awaited) {
            return;
        }
        let AwaitedLock { lock, holder, workflow, owner, .. } = awaited.clone();
        let kind = EventKind::LockAwaited { lock, holder, workflow, owner };
        options.reporter.report(Event { at: options.clock.now(), run: run.clone(), kind });
        self.reported = Some(awaited.clone());
    }
}
