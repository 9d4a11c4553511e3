use std::sync::Arc;

use futures::future::BoxFuture;

use super::{JournalError, Liveness, Owner};
use crate::{
    clock::UnixMillis,
    id::{Epoch, PlanDigest, RunId, Seq},
    run::{ObservedStatus, RunStatus, TimedEntry},
};

/// A plan as the journal stores it.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanText {
    /// Digest under which the plan is stored.
    pub digest: PlanDigest,
    /// JSON of the plan.
    pub json: Arc<str>,
}

/// A run to create, owned by `owner` under [`Epoch::FIRST`].
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Id of the new run.
    pub id: RunId,
    /// Name of the workflow.
    pub workflow: Arc<str>,
    /// Plan of the run. It is stored once, however many runs have it.
    pub plan: PlanText,
    /// Process that owns the run from its creation on.
    pub owner: Arc<Owner>,
    /// Time at which the lease expires.
    pub lease_until: UnixMillis,
    /// First entries of the run.
    pub entries: Vec<TimedEntry>,
    /// Status after these entries.
    pub status: RunStatus,
    /// Locks that the run takes. If another run holds one of them, the run is not created.
    pub locks: Vec<String>,
    /// Runs that lose their locks before this one takes its own.
    pub evictions: Vec<LockEviction>,
    /// Latest runs that took some of the locks, as the caller read them. If another one has taken a
    /// lock since, the run is not created.
    pub seen_takers: Vec<SeenTaker>,
}

/// The latest run that took a lock, as the creator of a run has read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenTaker {
    /// Name of the lock.
    pub lock: String,
    /// Run that took the lock last; `None` if none had ever taken it.
    pub run: Option<RunId>,
}

/// A run whose owner has exited or lost its lease: it loses all its locks, and its owner is fenced.
///
/// Nothing happens if the run has changed since the caller read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockEviction {
    /// Run that holds the locks.
    pub run: RunId,
    /// Epoch that the caller read.
    pub seen_epoch: Epoch,
    /// Lease that the caller read.
    pub seen_lease: UnixMillis,
}

/// A lock that a run holds.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldLock {
    /// Name of the lock.
    pub name: String,
    /// Run that holds the lock.
    pub holder: RunRow,
}

/// The latest run that took a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockTaking {
    /// Name of the lock.
    pub lock: String,
    /// Run that took the lock. It may have been pruned since.
    pub run: RunId,
    /// Name of the run's workflow.
    pub workflow: String,
    /// Time at which the run took the lock.
    pub at: UnixMillis,
}

impl LockTaking {
    /// True if `run`, which had taken the lock before, is overtaken: what it knows of the locked
    /// thing may no longer be true.
    pub fn overtakes(&self, run: &RunId) -> bool {
        self.run != *run
    }
}

/// Entries to append to one run.
#[derive(Debug, Clone)]
pub struct Append {
    /// Run that the entries belong to.
    pub run: RunId,
    /// Epoch under which the caller owns the run.
    pub epoch: Epoch,
    /// Sequence number of the run's latest entry, as the caller knows it.
    pub after: Seq,
    /// Entries in their order. Shared, because they can be large.
    pub entries: Arc<[TimedEntry]>,
    /// Status after these entries.
    pub status: RunStatus,
}

/// Entries and new runs that are written in one transaction.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// Time of the commit.
    pub at: UnixMillis,
    /// Runs to create.
    pub creates: Vec<NewRun>,
    /// Entries of runs that exist.
    pub appends: Vec<Append>,
}

/// Request to become the owner of a run.
#[derive(Debug, Clone)]
pub struct TakeOverRequest {
    /// Run to own.
    pub run: RunId,
    /// Epoch that the caller read; the new one is the next.
    pub seen_epoch: Epoch,
    /// Lease that the caller read.
    pub seen_lease: UnixMillis,
    /// Sequence number of the latest entry that the caller read.
    pub after: Seq,
    /// Process that becomes the owner.
    pub owner: Owner,
    /// Time at which the lease expires.
    pub lease_until: UnixMillis,
    /// Entries that record the takeover.
    pub entries: Vec<TimedEntry>,
    /// Locks that the run takes. If another run holds one of them, the request is refused.
    pub locks: Vec<String>,
    /// Latest runs that took these locks, as the caller read them. If another one has taken a lock
    /// since, the request is refused.
    pub seen_takers: Vec<LockTaking>,
    /// Runs that lose their locks before this one takes its own.
    pub evictions: Vec<LockEviction>,
    /// Time of the request.
    pub at: UnixMillis,
}

/// Position in the history of an owned run, after which entries are requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Run to read.
    pub run: RunId,
    /// Epoch under which the caller owns the run.
    pub epoch: Epoch,
    /// Sequence number of the latest entry that the caller knows.
    pub after: Seq,
}

/// A run without its entries.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    /// Id of the run.
    pub id: RunId,
    /// Name of the workflow.
    pub workflow: String,
    /// Digest of the run's plan.
    pub plan_digest: PlanDigest,
    /// Status after the latest append.
    pub status: RunStatus,
    /// Sequence number of the latest entry.
    pub seq: Seq,
    /// Epoch of the latest acquisition. Appends under a lower one are refused.
    pub epoch: Epoch,
    /// Process that owns the run; `None` once it is released.
    pub owner: Option<Owner>,
    /// Time at which the owner's lease expires.
    pub lease_until: UnixMillis,
    /// Time at which the run was created.
    pub created_at: UnixMillis,
    /// Time at which the status last changed.
    pub updated_at: UnixMillis,
}

impl RunRow {
    /// Returns the owner if it may still be live, as seen from the process `here`.
    ///
    /// An owner whose process can be observed is live until the process exits, even if it is
    /// stopped and its lease has expired. An owner that cannot be observed is live until its lease
    /// expires.
    pub fn live_owner(&self, here: &Owner, now: UnixMillis) -> Option<&Owner> {
        self.owner.as_ref().filter(|owner| match owner.liveness(here) {
            Liveness::Alive => true,
            Liveness::Exited => false,
            Liveness::Unknown => self.lease_until > now,
        })
    }

    /// Returns the owner if its process has not exited and its lease is in force, as seen from the
    /// process `here`.
    pub fn leaseholder(&self, here: &Owner, now: UnixMillis) -> Option<&Owner> {
        self.live_owner(here, now).filter(|_| self.lease_until > now)
    }

    /// Returns the status as seen from the process `here`: a running run without a live owner is
    /// interrupted.
    pub fn observed_status(&self, here: &Owner, now: UnixMillis) -> ObservedStatus {
        match self.status {
            RunStatus::Finished(outcome) => ObservedStatus::Finished(outcome),
            RunStatus::Running if self.live_owner(here, now).is_some() => ObservedStatus::Running,
            RunStatus::Running => ObservedStatus::Interrupted,
        }
    }
}

/// A run with all its entries, as of one point in time.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRun {
    /// Row of the run.
    pub row: RunRow,
    /// JSON of the run's plan.
    pub plan_json: String,
    /// History in the order of sequence numbers.
    pub history: Vec<TimedEntry>,
    /// Latest attempt and latest checkpoint of each step that has one.
    pub latest: Vec<TimedEntry>,
}

/// One log line that an attempt captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Run of the attempt.
    pub run: RunId,
    /// Name of the step, with its key.
    pub step: String,
    /// Number of the attempt.
    pub attempt: u32,
    /// Time at which the line was captured.
    pub at: UnixMillis,
    /// Text of the line, with secrets redacted.
    pub text: String,
}

/// Durable store of runs. Each implementation passes the same contract suite.
///
/// Futures must be polled to completion: a write that is dropped may or may not take effect.
pub trait Journal: Send + Sync {
    /// Writes `commit` and returns the runs of which *nothing* was written.
    ///
    /// These are runs with appends that another process owns or has written to, and new runs of
    /// which another run holds a lock. Once this returns, everything else survives a power loss. A
    /// run whose status is not [`RunStatus::Running`] has released its locks.
    ///
    /// # Errors
    /// Nothing was written, or, if the connection was lost, possibly everything: the caller must
    /// stop executing the runs of the commit.
    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Vec<RunId>, JournalError>>;

    /// Makes the requesting process the owner under the next epoch.
    ///
    /// Returns `false`, and writes nothing, if the run has changed since the caller read it, if
    /// another run holds one of the locks, or if one has taken a lock since.
    ///
    /// # Errors
    /// As for [`Journal::commit`].
    fn take_over(&self, request: TakeOverRequest) -> BoxFuture<'_, Result<bool, JournalError>>;

    /// Renews the lease of the runs that are still owned under these epochs, and returns them. The
    /// others have another owner or none.
    ///
    /// # Errors
    /// No lease was renewed.
    fn renew(
        &self,
        owned: Vec<(RunId, Epoch)>,
        lease_until: UnixMillis,
    ) -> BoxFuture<'_, Result<Vec<RunId>, JournalError>>;

    /// Releases a run and its locks if it is still owned under this epoch; otherwise does nothing.
    ///
    /// # Errors
    /// The run was not released.
    fn release(&self, run: RunId, epoch: Epoch) -> BoxFuture<'_, Result<(), JournalError>>;

    /// Reads a run as of one point in time.
    ///
    /// # Errors
    /// [`JournalError::NoSuchRun`], or [`JournalError::Unreadable`] for an entry of a newer
    /// program.
    fn load(&self, run: RunId) -> BoxFuture<'_, Result<StoredRun, JournalError>>;

    /// Reads a run without its entries, which this program may not be able to read.
    ///
    /// # Errors
    /// [`JournalError::NoSuchRun`], or the journal could not be read.
    fn row(&self, run: RunId) -> BoxFuture<'_, Result<RunRow, JournalError>> {
        Box::pin(async move {
            let rows = self.runs(u32::MAX).await?;
            rows.into_iter().find(|row| row.id == run).ok_or(JournalError::NoSuchRun(run))
        })
    }

    /// Reads the entries after each cursor, of runs that are still owned under the cursor's epoch.
    ///
    /// # Errors
    /// The journal could not be read.
    fn external_entries(&self, after: Vec<Cursor>) -> BoxFuture<'_, Result<Vec<(RunId, TimedEntry)>, JournalError>>;

    /// Reads which of these locks are held, and by which runs.
    ///
    /// # Errors
    /// The journal could not be read.
    fn holders(&self, locks: Vec<String>) -> BoxFuture<'_, Result<Vec<HeldLock>, JournalError>>;

    /// Reads which runs took these locks last. Locks that no run has taken are left out.
    ///
    /// # Errors
    /// The journal could not be read.
    fn last_takers(&self, locks: Vec<String>) -> BoxFuture<'_, Result<Vec<LockTaking>, JournalError>>;

    /// Appends captured log lines. Lines of runs that do not exist are ignored.
    ///
    /// # Errors
    /// No line was written.
    fn log(&self, lines: Vec<LogLine>) -> BoxFuture<'_, Result<(), JournalError>>;

    /// Reads the log lines of a run in the order in which they were appended.
    ///
    /// # Errors
    /// The journal could not be read.
    fn log_lines(&self, run: RunId) -> BoxFuture<'_, Result<Vec<LogLine>, JournalError>>;

    /// Deletes the runs that succeeded, failed or were cancelled before `before`, with their
    /// entries and log lines.
    ///
    /// Returns their number. Runs that are running, in doubt or waiting for approval are kept
    /// regardless of their age.
    ///
    /// # Errors
    /// No run was deleted.
    fn prune(&self, before: UnixMillis) -> BoxFuture<'_, Result<u64, JournalError>>;

    /// Reads the newest `limit` runs without their entries, newest first.
    ///
    /// # Errors
    /// The journal could not be read.
    fn runs(&self, limit: u32) -> BoxFuture<'_, Result<Vec<RunRow>, JournalError>>;

    /// Checks that the store is the one that was opened: that it was not deleted, replaced or put
    /// back to an earlier state since. The owner of a run calls this with each renewal.
    ///
    /// # Errors
    /// [`JournalError::Displaced`] if it is not: the caller must stop executing its runs. With any
    /// other error it is not known.
    fn verify_identity(&self) -> BoxFuture<'_, Result<(), JournalError>>;

    /// Closes the store, which is then complete without this process. All later calls but this one
    /// fail.
    ///
    /// # Errors
    /// The store may need to be recovered by the next process that opens it. Nothing is lost.
    fn close(&self) -> BoxFuture<'_, Result<(), JournalError>>;
}
