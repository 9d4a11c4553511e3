//! Opening of a journal file: creation, migration and settings.

use std::{fs::File, io, path::Path, time::Duration};

use sqlx::{
    ConnectOptions, Connection, SqliteConnection,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::{
    error::{cannot_open, open_error},
    folder, identity, inspect,
};
use crate::journal::JournalError;

/// Migrations in order: version, name and SQL. A released migration is never changed.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "journal", include_str!("../../../migrations/0001_journal.sql")),
    (2, "locks", include_str!("../../../migrations/0002_locks.sql")),
    (3, "log", include_str!("../../../migrations/0003_log.sql")),
    (4, "append", include_str!("../../../migrations/0004_append.sql")),
    (5, "identity", include_str!("../../../migrations/0005_identity.sql")),
    (6, "lock_taken", include_str!("../../../migrations/0006_lock_taken.sql")),
];

/// Maximum time that a statement waits for another process that has locked the file.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum time to wait for other processes that open a journal in the same folder.
const FOLDER_TIMEOUT: Duration = Duration::from_secs(30);

/// Pages in the write-ahead log after which they are copied to the file and the log is overwritten
/// from its start.
///
/// To flush a log that grows took two to four times as long as to flush one that is overwritten, so
/// the log stays small. A copy costs three flushes, in every 128th commit or less often.
const LOG_PAGES: &str = "128";

/// Pages of the file that each of the two connections keeps in memory: what a commit touches. The
/// operating system has the others.
const CACHE_PAGES: &str = "128";

/// Opens the file, after creating and migrating it if necessary, and returns a connection to write
/// and one to read.
pub(super) async fn open(path: &Path) -> Result<(SqliteConnection, SqliteConnection), JournalError> {
    folder::refuse_folder(path)?;
    folder::create(path).map_err(|e| cannot_open(path, e))?;
    let folder_lock = folder::lock(path, FOLDER_TIMEOUT).await?;
    match path.symlink_metadata() {
        Ok(found) => check_existing(path, found.is_symlink()).await?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => create(path).await?,
        Err(e) => return Err(cannot_open(path, e)),
    }
    let mut writer = connect(path, &options(path)).await?;
    migrate(path, &mut writer).await?;
    drop(folder_lock);
    let reader = connect(path, &options(path)).await?;
    check_settings(path, &mut writer).await?;
    Ok((writer, reader))
}

async fn connect(path: &Path, options: &SqliteConnectOptions) -> Result<SqliteConnection, JournalError> {
    options.connect().await.map_err(|e| open_error(path, e))
}

/// Checks that the existing file is a journal, before anything is written to it.
async fn check_existing(path: &Path, is_link: bool) -> Result<(), JournalError> {
    if is_link && path.metadata().map_or(true, |target| target.len() == 0) {
        return Err(cannot_open(path, "it is a symbolic link to an empty or missing file"));
    }
    identity::refuse_mounted_file(path)?;
    inspect::check_kind(path).await?;
    folder::make_private(path)
}

async fn create(path: &Path) -> Result<(), JournalError> {
    if !create_complete(path).await? {
        folder::create_private(path).map_err(|e| cannot_open(path, e))?;
    }
    Ok(())
}

/// Creates a migrated journal under another name and then gives it its own: three flushes in place
/// of one and more for each migration, and no other process or crash sees a part of it. Returns
/// false where the file system has no hard links.
async fn create_complete(path: &Path) -> Result<bool, JournalError> {
    let draft = path.with_added_extension(format!("new-{}", std::process::id()));
    let created = write_draft(path, &draft).await;
    let linked = created.and_then(|()| match std::fs::hard_link(&draft, path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(true),
        Err(e) if matches!(e.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied) => Ok(false),
        other => other.map(|()| true).map_err(|e| cannot_open(path, e)),
    });
    // The draft may not exist, if it could not be created.
    let _ = std::fs::remove_file(&draft);
    if linked? {
        File::open(folder::of(path)).and_then(|folder| folder.sync_all()).map_err(|e| cannot_open(path, e))?;
        return Ok(true);
    }
    Ok(false)
}

/// Writes a migrated journal to `draft` and flushes it.
async fn write_draft(path: &Path, draft: &Path) -> Result<(), JournalError> {
    folder::create_private(draft).map_err(|e| cannot_open(path, e))?;
    // Nothing of a draft has to survive a crash before it is complete.
    let options = options(draft).synchronous(SqliteSynchronous::Off);
    let mut connection = connect(path, &options).await?;
    migrate(path, &mut connection).await?;
    connection.close().await.map_err(|e| open_error(path, e))?;
    File::open(draft).and_then(|file| file.sync_all()).map_err(|e| cannot_open(path, e))
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("wal_autocheckpoint", LOG_PAGES)
        .pragma("cache_size", CACHE_PAGES)
        .disable_statement_logging()
}

async fn migrate(path: &Path, connection: &mut SqliteConnection) -> Result<(), JournalError> {
    let migrations = MIGRATIONS.iter().map(|&(version, name, sql)| {
        Migration::new(version, name.into(), MigrationType::Simple, sqlx::SqlStr::from_static(sql), false)
    });
    let result = Migrator::with_migrations(migrations.collect()).run_direct(None, connection, false).await;
    let known = newest_schema();
    match result {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(found)) => {
            Err(JournalError::Newer { journal: path.display().to_string(), found, known })
        }
        Err(MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _)) => Err(open_error(path, e)),
        Err(other) => Err(cannot_open(path, other)),
    }
}

/// Returns the version of the schema that this program writes.
pub(super) fn newest_schema() -> i64 {
    MIGRATIONS.last().map_or(0, |(version, ..)| *version)
}

/// Reads back the settings on which durability depends, since `SQLite` ignores a setting that it
/// cannot apply.
async fn check_settings(path: &Path, writer: &mut SqliteConnection) -> Result<(), JournalError> {
    for (pragma, expected) in [("journal_mode", "wal"), ("synchronous", "2"), ("foreign_keys", "1")] {
        let text = sqlx::AssertSqlSafe(format!("SELECT CAST({pragma} AS TEXT) FROM pragma_{pragma}"));
        let found: String = sqlx::query_scalar(text).fetch_one(&mut *writer).await?;
        if found != expected {
            let reason = format!("{pragma} is {found:?}, expected {expected:?}");
            return Err(JournalError::NotDurable { journal: path.display().to_string(), reason });
        }
    }
    Ok(())
}
