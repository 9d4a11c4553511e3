//! Renewal of leases, in a task of its own: it waits neither for decisions nor for attempts.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use stargate_sdk::{BootTime, RunLease};
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, MissedTickBehavior, interval_at},
};
use tokio_util::sync::CancellationToken;

use super::message::DispatcherMessage;
use crate::{
    clock::{Clock, UnixMillis},
    id::{Epoch, RunId},
    journal::{Journal, JournalError},
};

/// Number of renewals in a lease, so that one failed renewal does not end it.
const RENEWALS_PER_LEASE: u32 = 3;
/// Part of a lease, as a divisor, in which no call is sent any more: it has to arrive before the
/// lease expires.
const MARGIN: u32 = 10;

/// Lease that a process is about to take or to renew.
///
/// It is made before the journal is written, so that it never lasts longer for the owner than for
/// other processes.
#[derive(Debug, Clone, Copy)]
pub(super) struct LeaseTerm {
    /// Time after which other processes can acquire the run.
    pub(super) until: UnixMillis,
    /// Time after which the owner sends no calls, as a time that counts suspension.
    pub(super) calls_until: BootTime,
}

impl LeaseTerm {
    /// Returns a lease of this duration that starts now.
    pub(super) fn starting_now(clock: &Clock, lease: Duration) -> Self {
        let calls_until = BootTime::now().plus(lease.saturating_sub(lease / MARGIN));
        Self { until: clock.now().plus(lease), calls_until }
    }
}

/// Leases of the runs that this process owns.
#[derive(Debug, Default)]
pub(super) struct HeldLeases {
    runs: Mutex<HashMap<RunId, (Epoch, Arc<RunLease>)>>,
    /// Notified when an attempt needs a renewal now.
    requests: Arc<Notify>,
}

impl HeldLeases {
    /// Returns a lease for a run that is not renewed yet.
    pub(super) fn lease(&self, term: LeaseTerm) -> Arc<RunLease> {
        Arc::new(RunLease::new(term.calls_until, Arc::clone(&self.requests)))
    }

    /// Renews the lease of the run from now on.
    pub(super) fn insert(&self, run: RunId, epoch: Epoch, lease: Arc<RunLease>) {
        self.runs().insert(run, (epoch, lease));
    }

    /// Renews the lease of the run no longer.
    pub(super) fn remove(&self, run: &RunId) {
        self.runs().remove(run);
    }

    fn owned(&self) -> Vec<(RunId, Epoch)> {
        self.runs().iter().map(|(run, (epoch, _))| (run.clone(), *epoch)).collect()
    }

    /// Extends the leases that were renewed, and ends the others. Returns the runs of those.
    fn apply(&self, requested: &[(RunId, Epoch)], renewed: &[RunId], term: LeaseTerm) -> Vec<(RunId, Epoch)> {
        let mut runs = self.runs();
        let mut lost = Vec::new();
        for (run, epoch) in requested {
            let Some((held, lease)) = runs.get(run).filter(|(held, _)| held == epoch) else { continue };
            if renewed.contains(run) {
                lease.extend(term.calls_until);
            } else {
                lease.lose();
                lost.push((run.clone(), *held));
            }
        }
        for (run, _) in &lost {
            runs.remove(run);
        }
        lost
    }

    /// Ends all leases permanently.
    fn lose_all(&self) {
        for (_, (_, lease)) in self.runs().drain() {
            lease.lose();
        }
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<RunId, (Epoch, Arc<RunLease>)>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Task that renews leases until the dispatcher has ended.
pub(super) struct LeaseRenewal {
    pub(super) journal: Arc<dyn Journal>,
    pub(super) clock: Clock,
    /// Duration of a lease.
    pub(super) lease: Duration,
    pub(super) held: Arc<HeldLeases>,
    pub(super) dispatcher: mpsc::WeakSender<DispatcherMessage>,
    /// Cancelled when the dispatcher has ended.
    pub(super) stop: CancellationToken,
}

impl LeaseRenewal {
    /// Renews in regular intervals, and when an attempt requests it.
    pub(super) async fn serve(self) {
        let period = self.lease / RENEWALS_PER_LEASE;
        let mut ticks = interval_at(Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let requests = Arc::clone(&self.held.requests);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = requests.notified() => {}
                () = self.stop.cancelled() => return,
            }
            match self.renew().await {
                Ok(()) => {}
                // Attempts that need the renewal wait for the next one.
                Err(error @ JournalError::Busy) => tracing::debug!(%error, "cannot renew the leases"),
                Err(error @ JournalError::Displaced { .. }) => self.displaced(error).await,
                Err(error) => tracing::warn!(%error, "cannot renew the leases"),
            }
        }
    }

    async fn renew(&self) -> Result<(), JournalError> {
        let owned = self.held.owned();
        if owned.is_empty() {
            return Ok(());
        }
        self.verify_journal().await?;
        let term = LeaseTerm::starting_now(&self.clock, self.lease);
        let renewed = self.journal.renew(owned.clone(), term.until).await?;
        for (run, epoch) in self.held.apply(&owned, &renewed, term) {
            let Some(dispatcher) = self.dispatcher.upgrade() else { return Ok(()) };
            // The next renewal does not wait for room in the channel. A dispatcher that has ended
            // has no run to lose.
            tokio::spawn(async move { dispatcher.send(DispatcherMessage::LeaseLost { run, epoch }).await });
        }
        Ok(())
    }

    /// Returns an error if a lease in the journal is worth nothing, or cannot be renewed.
    async fn verify_journal(&self) -> Result<(), JournalError> {
        match self.journal.verify_identity().await {
            Err(error @ (JournalError::Displaced { .. } | JournalError::Busy)) => Err(error),
            Err(error) => {
                tracing::debug!(%error, "cannot verify the journal");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Ends all runs, and then their leases, so that no attempt ends before its run does.
    async fn displaced(&self, error: JournalError) {
        // A dispatcher that has ended has no run to lose.
        if let Some(dispatcher) = self.dispatcher.upgrade() {
            let _ = dispatcher.send(DispatcherMessage::JournalDisplaced(error)).await;
        }
        self.held.lose_all();
    }
}
