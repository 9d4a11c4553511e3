use std::path::PathBuf;

use crate::id::RunId;

/// Why the journal could not do it. Whatever the variant: nothing was written in part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// The file cannot be opened or made.
    #[error("open the journal {path}: {reason}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A newer stargate has written to it.
    #[error("open the journal {path}: its schema {found} is newer than this program, which knows up to {known}")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Version of its schema.
        found: i64,
        /// Newest version that this program knows.
        known: i64,
    },
    /// A setting on which durability rests did not take.
    #[error("open the journal {path}: {pragma} is {found:?}, expected {expected:?}")]
    Setting {
        /// The file.
        path: PathBuf,
        /// The setting.
        pragma: &'static str,
        /// What it is.
        found: String,
        /// What it must be.
        expected: &'static str,
    },
    /// The file is damaged or no journal.
    #[error("the journal is damaged or no journal: {0}")]
    Corrupt(String),
    /// No room on the disk.
    #[error("write the journal: the disk is full")]
    Full,
    /// The file or its folder cannot be written.
    #[error("write the journal: it is read-only")]
    ReadOnly,
    /// Another process held the file for too long.
    #[error("write the journal: another process holds it")]
    Busy,
    /// There is no such run.
    #[error("find the run {0}: the journal has no such run")]
    NoSuchRun(RunId),
    /// A stored text cannot be read back.
    #[error("read the run {run}: {reason}")]
    Unreadable {
        /// The run.
        run: RunId,
        /// What is wrong.
        reason: String,
    },
    /// Anything else that the database says.
    #[error("use the journal: {0}")]
    Database(String),
}

impl From<sqlx::Error> for JournalError {
    fn from(error: sqlx::Error) -> Self {
        let Some(database) = error.as_database_error() else { return Self::Database(error.to_string()) };
        let code: i32 = database.code().and_then(|code| code.parse().ok()).unwrap_or_default();
        // The low byte is the primary result code: https://sqlite.org/rescode.html
        match code & 0xff {
            5 | 6 => Self::Busy,
            8 => Self::ReadOnly,
            11 | 26 => Self::Corrupt(database.message().into()),
            13 => Self::Full,
            _ => Self::Database(database.message().into()),
        }
    }
}
