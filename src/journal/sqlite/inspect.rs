use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::fs::Access;
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    error::{cannot_open, open_error},
    file_kind::{self, FileKind},
    folder::with_suffix,
    open::{BUSY_TIMEOUT, newest_schema},
};
use crate::journal::{Inspected, JournalError};

/// Checks whether the journal file is intact and can be used, or can be created. Writes nothing.
///
/// # Errors
/// [`JournalError::Open`] if the file can neither be used nor created, [`JournalError::Newer`],
/// [`JournalError::Foreign`], or [`JournalError::Corrupt`].
pub(in crate::journal) async fn inspect(path: &Path) -> Result<Inspected, JournalError> {
    if !path.try_exists().map_err(|e| cannot_open(path, e))? {
        check_creatable(path).map_err(|e| cannot_open(path, e))?;
        return Ok(Inspected::Absent);
    }
    if !path.is_file() {
        return Err(cannot_open(path, "it is not a file"));
    }
    check_writable(path).map_err(|e| cannot_open(path, e))?;
    let mut reader = options(path).connect().await.map_err(|e| open_error(path, e))?;
    let inspected = inspect_file(path, &mut reader).await;
    // Nothing was written, so a failure to close loses nothing.
    drop(reader.close().await);
    inspected
}

/// Refuses a database of another program. Writes nothing.
pub(super) async fn check_kind(path: &Path) -> Result<(), JournalError> {
    let mut reader = options(path).connect().await.map_err(|e| open_error(path, e))?;
    let found = kind(path, &mut reader).await;
    drop(reader.close().await);
    found.map(drop)
}

async fn kind(path: &Path, reader: &mut SqliteConnection) -> Result<FileKind, JournalError> {
    let found = file_kind::read(reader).await.map_err(|e| open_error(path, e))?;
    found.map_err(|description| JournalError::Foreign { journal: path.display().to_string(), description })
}

/// Returns options for reading. Without a write-ahead log no process has the file open, and it can
/// be read without locks.
fn options(path: &Path) -> SqliteConnectOptions {
    // The log is next to the file itself, and not next to a symbolic link to it.
    let file = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let is_closed = !with_suffix(&file, "-wal").exists();
    let options = SqliteConnectOptions::new().filename(path).read_only(true).immutable(is_closed);
    options.busy_timeout(BUSY_TIMEOUT).disable_statement_logging()
}

async fn inspect_file(path: &Path, reader: &mut SqliteConnection) -> Result<Inspected, JournalError> {
    match kind(path, reader).await? {
        // A process that exited before its first migration leaves an empty database.
        FileKind::Empty => return Ok(Inspected::Absent),
        FileKind::Journal => {}
    }
    let found: Option<i64> =
        sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations").fetch_one(&mut *reader).await?;
    let (schema, known) = (found.unwrap_or_default(), newest_schema());
    if schema > known {
        return Err(JournalError::Newer { journal: path.display().to_string(), found: schema, known });
    }
    let findings: Vec<String> = sqlx::query_scalar("PRAGMA quick_check(3)").fetch_all(&mut *reader).await?;
    match findings.as_slice() {
        [one] if one == "ok" => Ok(Inspected::Intact { schema, known }),
        errors => Err(JournalError::Corrupt(errors.join("; "))),
    }
}

/// Checks that the nearest existing ancestor is a writable directory: missing directories below it
/// are created.
fn check_creatable(path: &Path) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    let existing =
        path.ancestors().skip(1).find(|folder| folder.exists()).map_or_else(|| PathBuf::from("/"), Path::to_owned);
    if !existing.is_dir() {
        return Err(io::Error::other(format!("{} is not a directory", existing.display())));
    }
    check_writable(&existing).map_err(|e| io::Error::other(format!("{}: {e}", existing.display())))
}

fn check_writable(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::access(path, Access::READ_OK | Access::WRITE_OK)?)
}
