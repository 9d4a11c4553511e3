//! The append-only store of entries, and the only room with SQL.
//!
//! It knows how to store an entry, never what it means. One [`Commit`] is one transaction, whatever number of runs it is
//! about; every append is guarded by (run, expected sequence number, epoch).

mod argument;
mod error;
mod inspect;
mod owner;
mod sqlite;
mod store;

pub use error::JournalError;
pub use inspect::{Inspected, inspect};
pub use owner::Owner;
pub use sqlite::SqliteJournal;
pub use store::{
    Append, Commit, HeldLock, Journal, LockEviction, LogLine, NewRun, PlanText, RunRow, StoredRun, TakeOverRequest,
};
