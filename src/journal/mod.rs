//! Durable store of runs: entries, plans, leases, locks and log lines. The only module with SQL.
//!
//! A journal stores entries and does not interpret them. One [`Commit`] is one transaction over any
//! number of runs. Each append names its run, epoch and sequence number, and is refused if another
//! process has changed the run since.
//!
//! Another store is an implementation of [`Journal`] that passes the contract suite
//! (`testing::contract`, with the feature `testing`) and an arm in [`open`].

mod error;
mod inspected;
mod owner;
mod sqlite;
mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod url;

pub use error::JournalError;
pub use inspected::Inspected;
pub use owner::{Liveness, Owner};
pub use sqlite::SqliteJournal;
pub use store::{
    Append, Commit, Cursor, HeldLock, Journal, LockEviction, LockTaking, LogLine, NewRun, PlanText, RunRow, SeenTaker,
    StoredRun, TakeOverRequest,
};
pub use url::{inspect, open, open_existing};
