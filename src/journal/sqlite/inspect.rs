use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::fs::Access;
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    error::{cannot_open, open_error},
    open::{BUSY_TIMEOUT, newest_schema},
};
use crate::journal::{Inspected, JournalError};

/// Checks whether the journal file is intact and can be used, or can be created. Writes nothing.
///
/// # Errors
/// [`JournalError::Open`] if the file can neither be used nor created, [`JournalError::Newer`], or
/// [`JournalError::Corrupt`].
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

/// Returns options for reading. Without a write-ahead log no process has the file open, and it can
/// be read without locks.
fn options(path: &Path) -> SqliteConnectOptions {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let is_closed = !Path::new(&log).exists();
    let options = SqliteConnectOptions::new().filename(path).read_only(true).immutable(is_closed);
    options.busy_timeout(BUSY_TIMEOUT).disable_statement_logging()
}

async fn inspect_file(path: &Path, reader: &mut SqliteConnection) -> Result<Inspected, JournalError> {
    let (tables, migrations): (i64, i64) =
        sqlx::query_as("SELECT count(*), count(*) FILTER (WHERE name = '_sqlx_migrations') FROM sqlite_schema")
            .fetch_one(&mut *reader)
            .await?;
    match (tables, migrations) {
        // A process that exited before its first migration leaves an empty database.
        (0, _) => return Ok(Inspected::Absent),
        (_, 0) => return Err(JournalError::Corrupt("it is a database of another program".into())),
        _ => {}
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
