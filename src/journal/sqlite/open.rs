//! Opening of a journal file: creation, migration and settings.

use std::{
    fs::File,
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{
    ConnectOptions, SqliteConnection, SqlitePool,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::journal::JournalError;

/// Migrations in order: version, name and SQL. A released migration is never changed.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "journal", include_str!("../../../migrations/0001_journal.sql")),
    (2, "locks", include_str!("../../../migrations/0002_locks.sql")),
    (3, "log", include_str!("../../../migrations/0003_log.sql")),
];

/// Maximum time that a statement waits for another process that has locked the file.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens the file, after creating and migrating it if necessary, and returns a connection to write
/// and one to read.
pub(super) async fn open(path: &Path) -> Result<(SqliteConnection, SqliteConnection), JournalError> {
    create_private(path).map_err(|e| JournalError::Open { path: path.into(), reason: e.to_string() })?;
    let options = options(path);
    let directory_lock = lock_directory(path).await;
    migrate(path, &options).await?;
    drop(directory_lock);
    let connect = || async { options.connect().await.map_err(|e| open_error(path, e)) };
    let (mut writer, reader) = (connect().await?, connect().await?);
    check_settings(path, &mut writer).await?;
    Ok((writer, reader))
}

/// Creates the file with mode 0600, and its directory, unless they exist.
fn create_private(path: &Path) -> io::Result<()> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory)?;
    }
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map(drop),
    }
}

/// Excludes other processes that open a journal in the same directory: two processes that migrate
/// one file at the same time would both create its tables.
///
/// The directory is locked, since closing any handle of the file would release `SQLite`'s own locks
/// on it. Where directories cannot be locked, the second of two such processes gets an error, and
/// nothing is lost.
async fn lock_directory(path: &Path) -> Option<File> {
    let parent = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    let directory = parent.unwrap_or(Path::new(".")).to_owned();
    let locked = tokio::task::spawn_blocking(move || {
        let directory = File::open(directory)?;
        directory.lock()?;
        Ok::<_, io::Error>(directory)
    });
    match locked.await {
        Ok(Ok(directory)) => Some(directory),
        Ok(Err(error)) => {
            tracing::debug!(%error, "cannot lock the journal's directory");
            None
        }
        Err(_) => None,
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}

async fn migrate(path: &Path, options: &SqliteConnectOptions) -> Result<(), JournalError> {
    // `Migrator::run` acquires its connection from a pool.
    let pool: SqlitePool = SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(options.clone())
        .await
        .map_err(|e| open_error(path, e))?;
    let migrations = MIGRATIONS.iter().map(|&(version, name, sql)| {
        Migration::new(version, name.into(), MigrationType::Simple, sqlx::SqlStr::from_static(sql), false)
    });
    let result = Migrator::with_migrations(migrations.collect()).run(&pool).await;
    pool.close().await;
    let known = newest_schema();
    match result {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(found)) => Err(JournalError::Newer { path: path.into(), found, known }),
        Err(MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _)) => Err(open_error(path, e)),
        Err(other) => Err(JournalError::Open { path: path.into(), reason: other.to_string() }),
    }
}

/// Returns the version of the schema that this program writes.
pub(super) fn newest_schema() -> i64 {
    MIGRATIONS.last().map_or(0, |(version, ..)| *version)
}

/// Adds the path to a database error that occurred while the file was opened.
pub(super) fn open_error(path: &Path, error: sqlx::Error) -> JournalError {
    match JournalError::from(error) {
        JournalError::Database(reason) => JournalError::Open { path: path.into(), reason },
        JournalError::ReadOnly => JournalError::Open { path: path.into(), reason: "it is read-only".into() },
        other => other,
    }
}

/// Reads back the settings on which durability depends, since `SQLite` ignores a setting that it
/// cannot apply.
async fn check_settings(path: &Path, writer: &mut SqliteConnection) -> Result<(), JournalError> {
    for (pragma, expected) in [("journal_mode", "wal"), ("synchronous", "2"), ("foreign_keys", "1")] {
        let text = sqlx::AssertSqlSafe(format!("SELECT CAST({pragma} AS TEXT) FROM pragma_{pragma}"));
        let found: String = sqlx::query_scalar(text).fetch_one(&mut *writer).await?;
        if found != expected {
            return Err(JournalError::Setting { path: PathBuf::from(path), pragma, found, expected });
        }
    }
    Ok(())
}
