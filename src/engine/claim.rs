use std::sync::Arc;

use stargate_sdk::Registry;

use super::{EngineError, EngineOptions, Prepared, ResumePolicy, binding::RunBinding, renewal::LeaseTerm};
use crate::{
    id::{Epoch, RunId, Seq},
    journal::{Append, Commit, LockEviction, LockTaking, Owner, PlanText, StoredRun, TakeOverRequest},
    plan::Plan,
    run::{Entry, Progress, RunState, RunStatus, TimedEntry},
};

/// A run as it was read from the journal, with the means to write to it if it has not changed
/// since.
pub(super) struct Claim<'a> {
    options: &'a EngineOptions,
    owner: &'a Owner,
    stored: StoredRun,
    pub(super) prepared: Prepared,
    pub(super) state: RunState,
    /// Lease of the acquisition.
    term: Option<LeaseTerm>,
}

/// Locks that a run takes when it is acquired.
#[derive(Default)]
pub(super) struct LockRequest {
    pub(super) names: Vec<String>,
    /// Latest runs that took the locks, as they were read.
    pub(super) seen_takers: Vec<LockTaking>,
    pub(super) evictions: Vec<LockEviction>,
}

/// A run that this process has acquired.
pub(super) struct AcquiredRun {
    pub(super) id: RunId,
    pub(super) prepared: Arc<Prepared>,
    pub(super) state: RunState,
    /// External systems and locks of the run.
    pub(super) binding: Arc<RunBinding>,
    pub(super) epoch: Epoch,
    /// Sequence number of the latest entry.
    pub(super) seq: Seq,
    pub(super) term: LeaseTerm,
}

impl AcquiredRun {
    /// Returns a run that does not exist yet, and that this process is about to create.
    pub(super) fn new(id: RunId, prepared: Arc<Prepared>, binding: Arc<RunBinding>, term: LeaseTerm) -> Self {
        let state = RunState::new(prepared.plan());
        Self { id, prepared, state, binding, epoch: Epoch::FIRST, seq: Seq::START, term }
    }
}

impl<'a> Claim<'a> {
    /// Reads a run and folds its entries.
    pub(super) async fn read(
        options: &'a EngineOptions,
        owner: &'a Owner,
        run: RunId,
    ) -> Result<Claim<'a>, EngineError> {
        let stored = options.journal.load(run.clone()).await?;
        let prepared = prepare(&stored, &options.registry)?;
        let state = RunState::recover(prepared.plan(), &stored.history, &stored.latest)
            .map_err(|source| EngineError::IllegalHistory { run, source })?;
        Ok(Self { options, owner, stored, prepared, state, term: None })
    }

    /// Returns the live owner of the run, or `None` if it has none or the run has finished.
    ///
    /// The owner of a finished run may not have released it yet; its remaining appends are refused
    /// once the run is acquired.
    pub(super) fn current_owner(&self) -> Option<&Owner> {
        match self.state.progress() {
            Progress::New | Progress::Running => self.stored.row.live_owner(self.owner, self.options.clock.now()),
            Progress::Finished(_) => None,
        }
    }

    /// Returns the live owner of the run whose lease is in force, or `None`. Another process can
    /// end the run of an owner that is stopped, once its lease has expired.
    pub(super) fn leaseholder(&self) -> Option<&Owner> {
        self.current_owner().and_then(|_| self.stored.row.leaseholder(self.owner, self.options.clock.now()))
    }

    /// Returns an error that names the live owner, if the run has one. The run of an owner that
    /// does not renew its lease is taken over only on request.
    pub(super) fn check_not_owned(&self, policy: ResumePolicy) -> Result<(), EngineError> {
        match if policy.take_over { self.leaseholder() } else { self.current_owner() } {
            Some(owner) => Err(EngineError::Owned {
                run: self.stored.row.id.clone(),
                owner: Box::new(owner.clone()),
                until: self.stored.row.lease_until,
            }),
            None => Ok(()),
        }
    }

    /// Returns the epoch under which an acquisition makes this process the owner.
    pub(super) fn next_epoch(&self) -> Epoch {
        self.stored.row.epoch.next()
    }

    /// Acquires the run under the next epoch and appends `extra`. Reopens the run if it has
    /// finished and `extra` does not. With `refresh`, results that may be stale are obtained again.
    ///
    /// Returns `false` if the run has changed since it was read, or if another run holds one of
    /// `locks` or has taken one since; then nothing was written and the claim must be read again.
    pub(super) async fn take_over(
        &mut self,
        extra: Option<Entry>,
        refresh: bool,
        locks: LockRequest,
    ) -> Result<bool, EngineError> {
        let LockRequest { names, seen_takers, evictions } = locks;
        let entries = self.acquisition_entries(extra, refresh);
        for timed in &entries {
            let illegal = |source| EngineError::IllegalHistory { run: self.stored.row.id.clone(), source };
            self.state.apply(timed.at, &timed.entry).map_err(illegal)?;
        }
        let term = LeaseTerm::starting_now(&self.options.clock, self.options.lease);
        let (at, count) = (self.options.clock.now(), entries.len());
        let request = TakeOverRequest {
            run: self.stored.row.id.clone(),
            seen_epoch: self.stored.row.epoch,
            seen_lease: self.stored.row.lease_until,
            after: self.stored.row.seq,
            owner: self.owner.clone(),
            lease_until: term.until,
            entries,
            locks: names,
            seen_takers,
            evictions,
            at,
        };
        let is_acquired = self.options.journal.take_over(request).await?;
        if is_acquired {
            self.stored.row.epoch = self.stored.row.epoch.next();
            self.stored.row.seq = self.stored.row.seq.plus(count);
            self.term = Some(term);
        }
        Ok(is_acquired)
    }

    fn acquisition_entries(&self, extra: Option<Entry>, refresh: bool) -> Vec<TimedEntry> {
        let at = self.options.clock.now();
        let acquired =
            Entry::RunAcquired { epoch: self.stored.row.epoch.next(), owner: self.owner.to_string(), refresh };
        let reopened = match self.state.progress() {
            _ if matches!(extra, Some(Entry::StepsReset { .. })) => None,
            Progress::New | Progress::Running => None,
            Progress::Finished(_) => Some(Entry::RunReopened),
        };
        [Some(acquired), reopened, extra].into_iter().flatten().map(|entry| TimedEntry { at, entry }).collect()
    }

    /// Appends an entry after those that were read, under the epoch that was read.
    ///
    /// If another process owns the run, its next commit is refused until it has applied the entry.
    /// Returns `false` if the run has changed since it was read; then nothing was written.
    pub(super) async fn append(&self, entry: Entry, status: RunStatus) -> Result<bool, EngineError> {
        let (row, at) = (&self.stored.row, self.options.clock.now());
        let entries = vec![TimedEntry { at, entry }];
        let append = Append { run: row.id.clone(), epoch: row.epoch, after: row.seq, entries: entries.into(), status };
        let commit = Commit { at, creates: vec![], appends: vec![append] };
        Ok(self.options.journal.commit(commit).await?.is_empty())
    }

    /// Releases the run after this process has acquired it.
    pub(super) async fn release(&self) -> Result<(), EngineError> {
        Ok(self.options.journal.release(self.stored.row.id.clone(), self.stored.row.epoch).await?)
    }

    /// Returns the run for the dispatcher, if this process has acquired it.
    pub(super) fn into_acquired(self, binding: &Arc<RunBinding>) -> Option<AcquiredRun> {
        let (row, prepared, binding) = (self.stored.row, Arc::new(self.prepared), Arc::clone(binding));
        let (epoch, seq, term) = (row.epoch, row.seq, self.term?);
        Some(AcquiredRun { id: row.id, prepared, state: self.state, binding, epoch, seq, term })
    }
}

fn prepare(stored: &StoredRun, registry: &Registry) -> Result<Prepared, EngineError> {
    let plan = Plan::from_stored(&stored.plan_json, &stored.row.plan_digest)
        .map_err(|source| EngineError::StoredPlan { run: stored.row.id.clone(), source })?;
    let text = PlanText { digest: stored.row.plan_digest.clone(), json: stored.plan_json.as_str().into() };
    Prepared::with_text(plan, text, registry)
}
