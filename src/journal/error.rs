use std::path::PathBuf;

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
    /// The file cannot be opened or created.
    #[error("cannot open the journal {path}: {reason}")]
    Open {
        /// Path of the file.
        path: PathBuf,
        /// Message of the operating system or of the database.
        reason: String,
    },
    /// A newer program has written to the file.
    #[error("cannot open the journal {path}: its schema {found} is newer than this program, which knows up to {known}")]
    Newer {
        /// Path of the file.
        path: PathBuf,
        /// Version of the file's schema.
        found: i64,
        /// Newest version that this program knows.
        known: i64,
    },
    /// A setting on which durability depends did not take effect.
    #[error("cannot open the journal {path}: {pragma} is {found:?}, expected {expected:?}")]
    Setting {
        /// Path of the file.
        path: PathBuf,
        /// Name of the setting.
        pragma: &'static str,
        /// Actual value of the setting.
        found: String,
        /// Required value of the setting.
        expected: &'static str,
    },
    /// The file is damaged or is not a journal.
    #[error("cannot read the journal: it is damaged or not a journal: {0}")]
    Corrupt(String),
    /// The disk is full.
    #[error("cannot write the journal: the disk is full")]
    Full,
    /// The file or its directory cannot be written.
    #[error("cannot write the journal: it is read-only")]
    ReadOnly,
    /// Another process locked the file for longer than the busy timeout.
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
