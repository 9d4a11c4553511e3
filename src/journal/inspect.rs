use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::fs::Access;
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    JournalError,
    sqlite::{PATIENCE, at_open, newest_schema},
};

/// What a look at a journal shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inspected {
    /// There is none yet; it can be made.
    Absent,
    /// It is whole.
    Whole {
        /// Version of its schema.
        schema: i64,
        /// The version that opening it would bring it to.
        known: i64,
    },
}

/// Looks whether the journal can be used, or made, and is whole; makes nothing, migrates nothing, writes nothing.
pub async fn inspect(path: &Path) -> Result<Inspected, JournalError> {
    let unusable = |reason: String| JournalError::Open { path: path.into(), reason };
    if !path.try_exists().map_err(|e| unusable(e.to_string()))? {
        can_be_made(path).map_err(|e| unusable(e.to_string()))?;
        return Ok(Inspected::Absent);
    }
    if !path.is_file() {
        return Err(unusable("it is no file".into()));
    }
    may_be_written(path).map_err(|e| unusable(e.to_string()))?;
    let mut reader = options(path).connect().await.map_err(|e| at_open(path, e))?;
    let inspected = look(path, &mut reader).await;
    // Nothing was written that closing could lose.
    drop(reader.close().await);
    inspected
}

/// With no write-ahead log nobody has the file open, and it can be read without leaving even a lock beside it.
fn options(path: &Path) -> SqliteConnectOptions {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let is_at_rest = !Path::new(&log).exists();
    let options = SqliteConnectOptions::new().filename(path).read_only(true).immutable(is_at_rest);
    options.busy_timeout(PATIENCE).disable_statement_logging()
}

async fn look(path: &Path, reader: &mut SqliteConnection) -> Result<Inspected, JournalError> {
    let (tables, migrations): (i64, i64) =
        sqlx::query_as("SELECT count(*), count(*) FILTER (WHERE name = '_sqlx_migrations') FROM sqlite_schema")
            .fetch_one(&mut *reader)
            .await?;
    match (tables, migrations) {
        // What a process leaves that died before its first migration.
        (0, _) => return Ok(Inspected::Absent),
        (_, 0) => return Err(JournalError::Corrupt("it is a database of another program".into())),
        _ => {}
    }
    let found: Option<i64> =
        sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations").fetch_one(&mut *reader).await?;
    let (schema, known) = (found.unwrap_or_default(), newest_schema());
    if schema > known {
        return Err(JournalError::Newer { path: path.into(), found: schema, known });
    }
    let said: Vec<String> = sqlx::query_scalar("PRAGMA quick_check(3)").fetch_all(&mut *reader).await?;
    match said.as_slice() {
        [one] if one == "ok" => Ok(Inspected::Whole { schema, known }),
        mistakes => Err(JournalError::Corrupt(mistakes.join("; "))),
    }
}

/// A folder that is missing would be made, below the first one that is there.
fn can_be_made(path: &Path) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    let there =
        path.ancestors().skip(1).find(|folder| folder.exists()).map_or_else(|| PathBuf::from("/"), Path::to_owned);
    if !there.is_dir() {
        return Err(io::Error::other(format!("{} is no folder", there.display())));
    }
    may_be_written(&there).map_err(|e| io::Error::other(format!("{}: {e}", there.display())))
}

fn may_be_written(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::access(path, Access::READ_OK | Access::WRITE_OK)?)
}
