//! Journal that kills its own process after a commit.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures::future::BoxFuture;
use rustix::process::{Signal, getpid, kill_process};
use stargate::{
    clock::UnixMillis,
    id::{Epoch, RunId},
    journal::{
        Commit, Cursor, HeldLock, Journal, JournalError, LockTaking, LogLine, RunRow, StoredRun, TakeOverRequest,
    },
};

/// Journal that forwards each call, and kills the process after the `after`-th commit.
///
/// 0 means that it never kills. Takeovers count as commits.
pub(crate) struct Killing {
    pub(crate) inner: Arc<dyn Journal>,
    pub(crate) after: u64,
    pub(crate) commits: AtomicU64,
}

impl Killing {
    /// Counts a commit, and sends SIGKILL to the own process if it was the chosen one.
    fn committed(&self) {
        if self.commits.fetch_add(1, Ordering::SeqCst) + 1 == self.after {
            kill_process(getpid(), Signal::KILL).unwrap();
        }
    }
}

impl Journal for Killing {
    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Vec<RunId>, JournalError>> {
        Box::pin(async move {
            let result = self.inner.commit(commit).await;
            self.committed();
            result
        })
    }

    fn take_over(&self, request: TakeOverRequest) -> BoxFuture<'_, Result<bool, JournalError>> {
        Box::pin(async move {
            let result = self.inner.take_over(request).await;
            self.committed();
            result
        })
    }

    fn renew(
        &self,
        owned: Vec<(RunId, Epoch)>,
        lease_until: UnixMillis,
    ) -> BoxFuture<'_, Result<Vec<RunId>, JournalError>> {
        self.inner.renew(owned, lease_until)
    }

    fn release(&self, run: RunId, epoch: Epoch) -> BoxFuture<'_, Result<(), JournalError>> {
        self.inner.release(run, epoch)
    }

    fn load(&self, run: RunId) -> BoxFuture<'_, Result<StoredRun, JournalError>> {
        self.inner.load(run)
    }

    fn external_entries(
        &self,
        after: Vec<Cursor>,
    ) -> BoxFuture<'_, Result<Vec<(RunId, stargate::run::TimedEntry)>, JournalError>> {
        self.inner.external_entries(after)
    }

    fn holders(&self, locks: Vec<String>) -> BoxFuture<'_, Result<Vec<HeldLock>, JournalError>> {
        self.inner.holders(locks)
    }

    fn last_takers(&self, locks: Vec<String>) -> BoxFuture<'_, Result<Vec<LockTaking>, JournalError>> {
        self.inner.last_takers(locks)
    }

    fn log(&self, lines: Vec<LogLine>) -> BoxFuture<'_, Result<(), JournalError>> {
        self.inner.log(lines)
    }

    fn log_lines(&self, run: RunId) -> BoxFuture<'_, Result<Vec<LogLine>, JournalError>> {
        self.inner.log_lines(run)
    }

    fn prune(&self, before: UnixMillis) -> BoxFuture<'_, Result<u64, JournalError>> {
        self.inner.prune(before)
    }

    fn runs(&self, limit: u32) -> BoxFuture<'_, Result<Vec<RunRow>, JournalError>> {
        self.inner.runs(limit)
    }

    fn verify_identity(&self) -> BoxFuture<'_, Result<(), JournalError>> {
        self.inner.verify_identity()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), JournalError>> {
        self.inner.close()
    }
}
