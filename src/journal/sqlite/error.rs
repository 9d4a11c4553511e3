//! Errors of `SQLite` as errors of the journal.

use std::{fmt::Display, path::Path};

use crate::journal::JournalError;

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

/// Creates the error for a file that cannot be opened or created.
pub(super) fn cannot_open(path: &Path, reason: impl Display) -> JournalError {
    JournalError::Open { journal: path.display().to_string(), reason: reason.to_string() }
}

/// Adds the path to a database error that occurred while the file was opened.
pub(super) fn open_error(path: &Path, error: sqlx::Error) -> JournalError {
    match JournalError::from(error) {
        JournalError::Database(reason) => cannot_open(path, reason),
        JournalError::ReadOnly => cannot_open(path, "it is read-only"),
        other => other,
    }
}
