use std::sync::Arc;

use futures::future::BoxFuture;

use super::{JournalError, Owner};
use crate::{clock::UnixMillis, id::RunId, run::TimedEntry};

/// A plan as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanText {
    /// SHA-256 of `body`, in hex.
    pub digest: Arc<str>,
    /// The plan as JSON.
    pub body: Arc<str>,
}

/// A run that is to exist, held by `owner` under epoch 1.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its id.
    pub id: RunId,
    /// Name of the workflow.
    pub workflow: Arc<str>,
    /// What is to be done.
    pub plan: PlanText,
    /// Who holds it.
    pub owner: Arc<Owner>,
    /// Until when, if the owner is not heard of.
    pub lease_until: UnixMillis,
    /// Its first entries.
    pub records: Vec<TimedEntry>,
    /// Its status after them.
    pub status: &'static str,
    /// What it holds from now on, unless another run does.
    pub locks: Vec<String>,
    /// Runs that lose their locks first.
    pub evictions: Vec<LockEviction>,
}

/// A run whose owner is gone: it loses its locks, and whoever may still advance it is fenced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockEviction {
    /// The run.
    pub run: RunId,
    /// The epoch that the caller has seen.
    pub seen_epoch: u64,
    /// The lease that the caller has seen.
    pub seen_lease: UnixMillis,
}

/// A lock that is held.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldLock {
    /// Its name.
    pub name: String,
    /// The run that holds it.
    pub holder: RunRow,
}

/// Entries for one run.
#[derive(Debug, Clone)]
pub struct Append {
    /// The run.
    pub run: RunId,
    /// The epoch under which the caller holds it.
    pub epoch: u64,
    /// Number of the entry after which these follow.
    pub seq: u64,
    /// The entries.
    pub records: Vec<TimedEntry>,
    /// The run's status after them.
    pub status: &'static str,
}

/// What becomes true at once or not at all.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// When.
    pub at: UnixMillis,
    /// Runs that are to exist.
    pub creates: Vec<NewRun>,
    /// Entries of runs that exist.
    pub appends: Vec<Append>,
}

/// The wish to hold a run from now on.
#[derive(Debug, Clone)]
pub struct TakeOverRequest {
    /// The run.
    pub run: RunId,
    /// The epoch that the caller has seen; the new one is one higher.
    pub seen_epoch: u64,
    /// The lease that the caller has seen.
    pub seen_lease: UnixMillis,
    /// The sequence number that the caller has seen.
    pub seq: u64,
    /// Who wants it.
    pub owner: Owner,
    /// Until when.
    pub lease_until: UnixMillis,
    /// Entries that say so.
    pub records: Vec<TimedEntry>,
    /// What the run holds from now on, unless another run does.
    pub locks: Vec<String>,
    /// Runs that lose their locks first.
    pub evictions: Vec<LockEviction>,
    /// When.
    pub at: UnixMillis,
}

/// What the journal knows of a run without its entries.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    /// Its id.
    pub id: RunId,
    /// Name of the workflow.
    pub workflow: String,
    /// Digest of its plan.
    pub plan: String,
    /// Its status.
    pub status: String,
    /// Number of its latest entry.
    pub seq: u64,
    /// The number that fences.
    pub epoch: u64,
    /// Who holds it.
    pub owner: Option<Owner>,
    /// Until when.
    pub lease_until: UnixMillis,
    /// When it was created.
    pub created_at: UnixMillis,
    /// When it was last written to.
    pub updated_at: UnixMillis,
}

impl RunRow {
    /// Who advances the run, as seen from the process `here`: an owner that may be living.
    ///
    /// A dead owner on this machine is passed over at once, one elsewhere when its lease has ended.
    pub fn live_owner(&self, here: &Owner, now: UnixMillis) -> Option<&Owner> {
        self.owner.as_ref().filter(|owner| !owner.has_exited(here) && self.lease_until > now)
    }
}

/// Everything the journal knows of a run, as of one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRun {
    /// Its row.
    pub row: RunRow,
    /// Its plan, as JSON.
    pub plan: String,
    /// Its history, in order.
    pub history: Vec<TimedEntry>,
    /// The latest attempt and checkpoint of each step that has one.
    pub latest: Vec<TimedEntry>,
}

/// A line that an attempt captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The run.
    pub run: RunId,
    /// Name of the step, with its key.
    pub step: String,
    /// Which attempt.
    pub attempt: u32,
    /// When.
    pub at: UnixMillis,
    /// The line, redacted.
    pub text: String,
}

/// The store of entries. Every implementation passes the same contract suite.
pub trait Journal: Send + Sync {
    /// Makes `commit` durable and returns the runs of which *nothing* was written: those with appends that somebody else
    /// holds or has written to, and those to be created of which another run holds a lock.
    ///
    /// A run whose status is no longer `running` has given its locks back.
    /// Once this returns, everything else of it survives a power loss. On an error nothing was written, or, if the
    /// connection was lost on the way, all of it: the caller must stop advancing the runs it is about.
    /// The future must be driven to its end.
    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Vec<RunId>, JournalError>>;

    /// Makes `owner` the holder under the next epoch, if nobody has changed what the caller has seen and no other run
    /// holds one of the locks.
    fn take_over(&self, wish: TakeOverRequest) -> BoxFuture<'_, Result<bool, JournalError>>;

    /// Extends the lease of runs that are still held under these epochs.
    fn renew(&self, held: Vec<(RunId, u64)>, lease_until: UnixMillis) -> BoxFuture<'_, Result<(), JournalError>>;

    /// Gives up a run that is still held under this epoch, and its locks.
    fn release(&self, run: RunId, epoch: u64) -> BoxFuture<'_, Result<(), JournalError>>;

    /// Reads a run as of one moment.
    fn load(&self, run: RunId) -> BoxFuture<'_, Result<StoredRun, JournalError>>;

    /// Reads what others have written to runs that are held under these epochs, behind these sequence numbers.
    fn later(&self, held: Vec<(RunId, u64, u64)>) -> BoxFuture<'_, Result<Vec<(RunId, TimedEntry)>, JournalError>>;

    /// Reads which of these locks are held, and by which runs.
    fn holders(&self, locks: Vec<String>) -> BoxFuture<'_, Result<Vec<HeldLock>, JournalError>>;

    /// Keeps lines that attempts captured. Those of a run that is not there are left out.
    fn log(&self, lines: Vec<LogLine>) -> BoxFuture<'_, Result<(), JournalError>>;

    /// Reads the lines that were kept of a run, in the order in which they came.
    fn lines(&self, run: RunId) -> BoxFuture<'_, Result<Vec<LogLine>, JournalError>>;

    /// Removes, with everything that is known of them, the runs that ended before `before`: those that succeeded, failed or
    /// were cancelled. Gives their number. A run that somebody can still be waiting for is kept, however old.
    fn prune(&self, before: UnixMillis) -> BoxFuture<'_, Result<u64, JournalError>>;

    /// Reads the latest `limit` runs, the newest first, without their entries.
    fn runs(&self, limit: u32) -> BoxFuture<'_, Result<Vec<RunRow>, JournalError>>;
}
