use std::sync::Arc;

use futures::future::BoxFuture;

use super::{JournalError, Owner};
use crate::{clock::Millis, id::RunId, run::Recorded};

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
    pub lease_until: Millis,
    /// Its first entries.
    pub records: Vec<Recorded>,
    /// Its status after them.
    pub status: &'static str,
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
    pub records: Vec<Recorded>,
    /// The run's status after them.
    pub status: &'static str,
}

/// What becomes true at once or not at all.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// When.
    pub at: Millis,
    /// Runs that are to exist.
    pub creates: Vec<NewRun>,
    /// Entries of runs that exist.
    pub appends: Vec<Append>,
}

/// The wish to hold a run from now on.
#[derive(Debug, Clone)]
pub struct TakeOver {
    /// The run.
    pub run: RunId,
    /// The epoch that the caller has seen; the new one is one higher.
    pub seen_epoch: u64,
    /// The lease that the caller has seen.
    pub seen_lease: Millis,
    /// The sequence number that the caller has seen.
    pub seq: u64,
    /// Who wants it.
    pub owner: Owner,
    /// Until when.
    pub lease_until: Millis,
    /// Entries that say so.
    pub records: Vec<Recorded>,
    /// When.
    pub at: Millis,
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
    pub lease_until: Millis,
    /// When it was created.
    pub created_at: Millis,
    /// When it was last written to.
    pub updated_at: Millis,
}

/// Everything the journal knows of a run, as of one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRun {
    /// Its row.
    pub row: RunRow,
    /// Its plan, as JSON.
    pub plan: String,
    /// Its history, in order.
    pub history: Vec<Recorded>,
    /// The latest attempt and checkpoint of each step that has one.
    pub latest: Vec<Recorded>,
}

/// The store of entries. Every implementation passes the same contract suite.
pub trait Journal: Send + Sync {
    /// Makes `commit` durable and returns the runs whose appends were *not* written because somebody else holds them or
    /// has written to them.
    ///
    /// Once this returns, everything else of it survives a power loss. On an error nothing was written, or, if the
    /// connection was lost on the way, all of it: the caller must stop advancing the runs it is about.
    /// The future must be driven to its end.
    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Vec<RunId>, JournalError>>;

    /// Makes `owner` the holder under the next epoch, if nobody has changed what the caller has seen.
    fn take_over(&self, wish: TakeOver) -> BoxFuture<'_, Result<bool, JournalError>>;

    /// Extends the lease of runs that are still held under these epochs.
    fn renew(&self, held: Vec<(RunId, u64)>, lease_until: Millis) -> BoxFuture<'_, Result<(), JournalError>>;

    /// Gives up a run that is still held under this epoch.
    fn release(&self, run: RunId, epoch: u64) -> BoxFuture<'_, Result<(), JournalError>>;

    /// Reads a run as of one moment.
    fn load(&self, run: RunId) -> BoxFuture<'_, Result<StoredRun, JournalError>>;

    /// Reads the latest `limit` runs, the newest first, without their entries.
    fn runs(&self, limit: u32) -> BoxFuture<'_, Result<Vec<RunRow>, JournalError>>;
}
