use std::time::Duration;

use tokio::time::Instant;

use super::{EngineError, LockHolder, Options};
use crate::{
    event::{Event, EventKind},
    id::RunId,
    journal::{HeldLock, LockEviction, Owner},
};

/// The first pause before a held lock is looked at again: as long as a short run takes.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest: whoever waits for minutes does not mind seconds.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Makes sure that no living process holds one of `locks` for another run than `own`. Gives the runs that hold one and
/// whose owners are dead.
pub(super) async fn free(
    options: &Options,
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

/// A wait for locks that ends at some time.
pub(super) struct Wait {
    until: Instant,
    pause: Duration,
    told: Option<(String, RunId)>,
}

impl Wait {
    pub(super) fn new(patience: Duration) -> Self {
        Self { until: Instant::now() + patience, pause: FIRST_PAUSE, told: None }
    }

    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// How long to wait before the next look: longer each time, and not beyond the end.
    pub(super) fn pause(&mut self) -> Duration {
        let pause = self.pause.min(self.until.saturating_duration_since(Instant::now()));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        pause
    }

    /// Tells whoever watches what `run` waits for, unless that was told before.
    pub(super) fn tell(&mut self, options: &Options, run: &RunId, held: &LockHolder) {
        let awaited = (held.lock.clone(), held.run.clone());
        if self.told.as_ref() == Some(&awaited) {
            return;
        }
        let LockHolder { lock, run: holder, workflow, owner, .. } = held.clone();
        let news = EventKind::LockAwaited { lock, holder, workflow, owner: owner.to_string() };
        options.reporter.report(Event { at: options.clock.now(), run: run.clone(), kind: news });
        self.told = Some(awaited);
    }
}
