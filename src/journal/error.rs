use crate::id::RunId;

/// Failure of the journal. Nothing is ever written in part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// The URL names a kind of store that this program does not have.
    #[error("cannot open the journal {url:?}: expected sqlite:PATH or a path")]
    Scheme {
        /// URL that was given.
        url: String,
    },
    /// The store cannot be opened or created.
    #[error("cannot open the journal {journal}: {reason}")]
    Open {
        /// Path or URL of the store, without credentials.
        journal: String,
        /// Message of the operating system or of the database.
        reason: String,
    },
    /// A newer program has written to the store.
    #[error(
        "cannot open the journal {journal}: its schema {found} is newer than this program, which knows up to {known}"
    )]
    Newer {
        /// Path or URL of the store, without credentials.
        journal: String,
        /// Version of the store's schema.
        found: i64,
        /// Newest version that this program knows.
        known: i64,
    },
    /// The file is a database of another program. Nothing was written to it.
    #[error("cannot open the journal {journal}: it is a database of another program: {description}")]
    Foreign {
        /// Path or URL of the store, without credentials.
        journal: String,
        /// Description of the database.
        description: String,
    },
    /// The store is no longer the one that was opened: it was deleted, replaced or put back to an
    /// earlier state. What was committed since may be lost.
    #[error("the journal {journal} is not the one that was opened any more: {reason}")]
    Displaced {
        /// Path or URL of the store, without credentials.
        journal: String,
        /// Description of what has happened to the store.
        reason: String,
    },
    /// A condition of durability does not hold: the store could lose what it has acknowledged.
    #[error("cannot open the journal {journal}: {reason}")]
    NotDurable {
        /// Path or URL of the store, without credentials.
        journal: String,
        /// Condition that does not hold.
        reason: String,
    },
    /// The stored data is damaged or is not a journal.
    #[error("cannot read the journal: it is damaged or not a journal: {0}")]
    Corrupt(String),
    /// The disk is full.
    #[error("cannot write the journal: the disk is full")]
    Full,
    /// The store can be read but not written.
    #[error("cannot write the journal: it is read-only")]
    ReadOnly,
    /// Another process locked the store for longer than the busy timeout.
    #[error("cannot write the journal: another process holds it")]
    Busy,
    /// The run does not exist.
    #[error("the journal has no run {0}")]
    NoSuchRun(RunId),
    /// A stored text cannot be read, such as one of a newer program.
    #[error("cannot read run {run}: {reason}")]
    Unreadable {
        /// Run that the text belongs to.
        run: RunId,
        /// Description of the text and of what is wrong with it.
        reason: String,
    },
    /// Any other failure of the database.
    #[error("cannot use the journal: {0}")]
    Database(String),
}
