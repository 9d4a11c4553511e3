use std::{
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::future::BoxFuture;
use serde_json::json;
use sqlx::{
    ConnectOptions, Connection, Row, SqliteConnection, SqlitePool,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};
use tokio::sync::{Mutex, MutexGuard};

use super::{
    Commit, HeldLock, Journal, JournalError, LogLine, Owner, RunRow, StoredRun, TakeOverRequest,
    argument::{self, RUNNING},
};
use crate::{clock::UnixMillis, id::RunId, run::TimedEntry};

/// Every migration that has ever been shipped, in order.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "journal", include_str!("../../migrations/0001_journal.sql")),
    (2, "locks", include_str!("../../migrations/0002_locks.sql")),
    (3, "log", include_str!("../../migrations/0003_log.sql")),
];

/// How long a statement waits for another process that holds the file.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

const BATCH: &str = "INSERT INTO batch VALUES (?1)";
// What most commits do not need costs them nothing.
const BATCH_AND_LOCKS: &str = "
    BEGIN IMMEDIATE;
    INSERT INTO batch VALUES (?1);
    INSERT INTO locking VALUES (?1);
    COMMIT;";
const TAKE_OVER: &str = "
    BEGIN IMMEDIATE;
    UPDATE run SET epoch = epoch + 1, owner = ?1 ->> 'owner', lease_until = ?1 ->> 'lease_until'
        WHERE id = ?1 ->> 'run' AND epoch = ?1 ->> 'seen_epoch' AND lease_until = ?1 ->> 'seen_lease';
    INSERT INTO batch VALUES (?1);
    INSERT INTO locking VALUES (?1);
    COMMIT;";
// Every column of a run, and the number of its latest entry as `seq`.
const LOAD: &str = "
    SELECT run.*, plan.body, coalesce((
        SELECT max(entry.key) FROM entry
        WHERE entry.key BETWEEN run.key << 32 AND (run.key + 1 << 32) - 1) & 0xffffffff, 0) AS seq
    FROM run JOIN plan ON plan.digest = run.plan WHERE id = ?1";
const LIST: &str = "
    SELECT run.*, coalesce((
        SELECT max(entry.key) FROM entry
        WHERE entry.key BETWEEN run.key << 32 AND (run.key + 1 << 32) - 1) & 0xffffffff, 0) AS seq
    FROM run ORDER BY key DESC LIMIT ?1";
const RENEW: &str = "
    UPDATE run SET lease_until = ?1 ->> 'lease_until' FROM json_each(?1, '$.held') AS held
        WHERE run.id = held.value ->> 'run' AND run.epoch = held.value ->> 'epoch'";
const RELEASE: &str = "
    BEGIN IMMEDIATE;
    DELETE FROM lock WHERE run IN (SELECT key FROM run WHERE id = ?1 ->> 'run' AND epoch = ?1 ->> 'epoch');
    UPDATE run SET owner = NULL, lease_until = 0 WHERE id = ?1 ->> 'run' AND epoch = ?1 ->> 'epoch';
    COMMIT;";
const LATER: &str = "
    SELECT run.id, entry.at, entry.body
    FROM json_each(?1) AS held
    CROSS JOIN run ON run.id = held.value ->> 0 AND run.epoch = held.value ->> 1
    CROSS JOIN entry ON entry.key BETWEEN (run.key << 32 | held.value ->> 2) + 1 AND (run.key + 1 << 32) - 1
    ORDER BY entry.key";
const LOG: &str = "
    INSERT INTO log (run, step, attempt, at, line)
        SELECT run.key, line.value ->> 1, line.value ->> 2, line.value ->> 3, line.value ->> 4
        FROM json_each(?1) AS line CROSS JOIN run ON run.id = line.value ->> 0
        ORDER BY line.key";
const LINES: &str = "
    SELECT log.* FROM log JOIN run ON run.key = log.run WHERE run.id = ?1 ORDER BY log.key";
const STALE: &str = "
    CREATE TEMP TABLE stale AS
        SELECT key FROM run WHERE status IN ('succeeded', 'failed', 'cancelled') AND updated_at < ?1";
const PRUNE: &str = "
    DELETE FROM log WHERE run IN (SELECT key FROM stale);
    DELETE FROM attempt WHERE run IN (SELECT key FROM stale);
    DELETE FROM entry WHERE key >> 32 IN (SELECT key FROM stale);
    DELETE FROM run WHERE key IN (SELECT key FROM stale);
    DELETE FROM plan WHERE digest NOT IN (SELECT plan FROM run);
    DROP TABLE stale;";
const HOLDERS: &str = "
    SELECT lock.name, run.*, coalesce((
        SELECT max(entry.key) FROM entry
        WHERE entry.key BETWEEN run.key << 32 AND (run.key + 1 << 32) - 1) & 0xffffffff, 0) AS seq
    FROM json_each(?1) AS wanted
    JOIN lock ON lock.name = wanted.value JOIN run ON run.key = lock.run
    ORDER BY wanted.key";

/// The journal in an SQLite file: WAL, `synchronous=FULL`, one writer connection.
pub struct SqliteJournal {
    writer: Mutex<SqliteConnection>,
    reader: Mutex<SqliteConnection>,
}

impl SqliteJournal {
    /// Opens the journal, making it with mode 0600 if there is none, and migrates it.
    ///
    /// Every setting on which durability rests is read back; one that did not take is an error.
    pub async fn open(path: &Path) -> Result<Self, JournalError> {
        make_private(path).map_err(|e| JournalError::Open { path: path.into(), reason: e.to_string() })?;
        let options = options(path);
        let alone = alone_in_folder(path).await;
        migrate(path, &options).await?;
        drop(alone);
        let connect = || async { options.connect().await.map_err(|e| at_open(path, e)) };
        let (mut writer, reader) = (connect().await?, connect().await?);
        check_settings(path, &mut writer).await?;
        Ok(Self { writer: Mutex::new(writer), reader: Mutex::new(reader) })
    }

    /// Closes the file, so that no write-ahead log is left behind.
    pub async fn close(self) -> Result<(), JournalError> {
        self.reader.into_inner().close().await?;
        self.writer.into_inner().close().await?;
        Ok(())
    }

    /// Keeps the file from growing beyond `more` further pages: what a quota or a full disk does. For tests.
    #[doc(hidden)]
    pub async fn limit_pages(&self, more: u32) -> Result<(), JournalError> {
        let mut writer = self.writer.lock().await;
        let pages: i64 = sqlx::query_scalar("SELECT page_count FROM pragma_page_count").fetch_one(&mut *writer).await?;
        let limit = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {}", pages + i64::from(more)));
        sqlx::query(limit).execute(&mut *writer).await?;
        Ok(())
    }

    /// Notes a migration that this program does not know: what a newer one leaves. For tests.
    #[doc(hidden)]
    pub async fn pretend_schema(&self, version: i64) -> Result<(), JournalError> {
        let insert = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
            VALUES (?1, 'later', true, x'00', 0)";
        sqlx::query(insert).bind(version).execute(&mut *self.writer.lock().await).await?;
        Ok(())
    }

    /// Leaves the file as the first program would have left it. For tests.
    #[doc(hidden)]
    pub async fn back_to_schema_1(&self) -> Result<(), JournalError> {
        let undo = "DROP TABLE log; DROP VIEW locking; DROP TABLE lock; DELETE FROM _sqlx_migrations WHERE version > 1";
        sqlx::query(undo).execute(&mut *self.writer.lock().await).await?;
        Ok(())
    }

    /// Runs `statements`, which are one transaction, with one argument.
    async fn write(&self, statements: &'static str, argument: String) -> Result<(), WriteError> {
        let mut writer = self.writer.lock().await;
        let result = sqlx::query(statements).bind(argument).execute(&mut *writer).await;
        match result {
            Ok(_) => Ok(()),
            Err(error) => {
                roll_back(&mut writer).await;
                Err(error.into())
            }
        }
    }

    /// Writes run by run, to find out which of them, or of their locks, somebody else holds.
    async fn commit_each(&self, commit: Commit) -> Result<Vec<RunId>, JournalError> {
        let mut refused = Vec::new();
        let at = commit.at;
        // First the runs that end: they give back what others want.
        let appends = commit
            .appends
            .into_iter()
            .map(|append| (append.run.clone(), Commit { at, creates: vec![], appends: vec![append] }));
        let creates = commit
            .creates
            .into_iter()
            .map(|create| (create.id.clone(), Commit { at, creates: vec![create], appends: vec![] }));
        for (run, one) in appends.chain(creates) {
            match self.write(statements(&one), argument::of_commit(&one)).await {
                Ok(()) => {}
                Err(WriteError::Fenced | WriteError::Locked) => refused.push(run),
                Err(WriteError::Journal(error)) => return Err(error),
            }
        }
        Ok(refused)
    }
}

/// Why nothing was written.
enum WriteError {
    /// A run is held by somebody else, or has been written to.
    Fenced,
    /// Another run holds a lock.
    Locked,
    /// The journal could not do it.
    Journal(JournalError),
}

impl From<sqlx::Error> for WriteError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error() {
            Some(database) if database.message() == "fenced" => Self::Fenced,
            Some(database) if database.message() == "locked" => Self::Locked,
            _ => Self::Journal(error.into()),
        }
    }
}

impl From<WriteError> for JournalError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Fenced | WriteError::Locked => Self::Database("somebody else holds what is written to".into()),
            WriteError::Journal(error) => error,
        }
    }
}

/// Leaves no transaction open after a failure inside one; a failure to begin leaves none to end.
async fn roll_back(writer: &mut MutexGuard<'_, SqliteConnection>) {
    if let Err(error) = sqlx::query("ROLLBACK").execute(&mut **writer).await {
        tracing::debug!(%error, "no transaction to roll back");
    }
}

fn make_private(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map(drop),
    }
}

/// Holds other processes up that open a journal in the same folder: two that migrate one file at once would both make its
/// tables. The lock is the folder's, since closing any handle of the file would give up `SQLite`'s own locks on it.
async fn alone_in_folder(path: &Path) -> Option<std::fs::File> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    let locked = tokio::task::spawn_blocking(move || {
        let folder = std::fs::File::open(folder)?;
        folder.lock()?;
        Ok::<_, std::io::Error>(folder)
    });
    match locked.await {
        Ok(Ok(folder)) => Some(folder),
        // Where folders cannot be locked, a second process that is that quick gets an error, and nothing is lost.
        Ok(Err(error)) => {
            tracing::debug!(%error, "the journal's folder cannot be locked");
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
        .busy_timeout(PATIENCE)
        .disable_statement_logging()
}

async fn migrate(path: &Path, options: &SqliteConnectOptions) -> Result<(), JournalError> {
    // A pool, since `Migrator::run` wants something it can acquire from.
    let pool: SqlitePool = SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(options.clone())
        .await
        .map_err(|e| at_open(path, e))?;
    let migrations = MIGRATIONS.iter().map(|&(version, name, sql)| {
        Migration::new(version, name.into(), MigrationType::Simple, sqlx::SqlStr::from_static(sql), false)
    });
    let result = Migrator::with_migrations(migrations.collect()).run(&pool).await;
    pool.close().await;
    let known = newest_schema();
    match result {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(found)) => Err(JournalError::Newer { path: path.into(), found, known }),
        Err(MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _)) => Err(at_open(path, e)),
        Err(other) => Err(JournalError::Open { path: path.into(), reason: other.to_string() }),
    }
}

/// Version of the schema that this program writes.
pub(super) fn newest_schema() -> i64 {
    MIGRATIONS.last().map_or(0, |(version, ..)| *version)
}

pub(super) fn at_open(path: &Path, error: sqlx::Error) -> JournalError {
    match JournalError::from(error) {
        JournalError::Database(reason) => JournalError::Open { path: path.into(), reason },
        JournalError::ReadOnly => JournalError::Open { path: path.into(), reason: "it is read-only".into() },
        other => other,
    }
}

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

fn statements(commit: &Commit) -> &'static str {
    let takes = commit.creates.iter().any(|run| !run.locks.is_empty() || !run.evictions.is_empty());
    let gives_back = commit.appends.iter().any(|append| append.status != RUNNING);
    if takes || gives_back { BATCH_AND_LOCKS } else { BATCH }
}

fn row(row: &SqliteRow) -> Result<RunRow, JournalError> {
    let id: String = row.try_get("id")?;
    let id: RunId = id.parse().map_err(|e| JournalError::Corrupt(format!("{e}")))?;
    let owner: Option<String> = row.try_get("owner")?;
    let owner: Option<Owner> = owner.and_then(|text| serde_json::from_str(&text).ok());
    let number = |column: &str| row.try_get::<i64, _>(column).map(i64::unsigned_abs);
    let moment = |column: &str| row.try_get(column).map(UnixMillis);
    Ok(RunRow {
        workflow: row.try_get("workflow")?,
        plan: row.try_get("plan")?,
        status: row.try_get("status")?,
        seq: number("seq")?,
        epoch: number("epoch")?,
        owner,
        lease_until: moment("lease_until")?,
        created_at: moment("created_at")?,
        updated_at: moment("updated_at")?,
        id,
    })
}

fn recorded(run: &RunId, row: &SqliteRow) -> Result<TimedEntry, JournalError> {
    let body: String = row.try_get("body")?;
    let entry = serde_json::from_str(&body)
        .map_err(|e| JournalError::Unreadable { run: run.clone(), reason: format!("an entry cannot be read: {e}") })?;
    Ok(TimedEntry { at: UnixMillis(row.try_get("at")?), entry })
}

async fn load(reader: &mut SqliteConnection, run: RunId) -> Result<StoredRun, JournalError> {
    let mut snapshot = reader.begin().await?;
    let found = sqlx::query(LOAD)
        .bind(run.as_str())
        .fetch_optional(&mut *snapshot)
        .await?
        .ok_or_else(|| JournalError::NoSuchRun(run.clone()))?;
    let key: i64 = found.try_get("key")?;
    let history =
        sqlx::query("SELECT at, body FROM entry WHERE key BETWEEN ?1 << 32 AND (?1 + 1 << 32) - 1 ORDER BY key")
            .bind(key);
    let history = history.fetch_all(&mut *snapshot).await?;
    let latest = sqlx::query("SELECT at, body FROM attempt WHERE run = ?1 ORDER BY step, kind").bind(key);
    let latest = latest.fetch_all(&mut *snapshot).await?;
    snapshot.rollback().await?;
    Ok(StoredRun {
        row: row(&found)?,
        plan: found.try_get("body")?,
        history: history.iter().map(|row| recorded(&run, row)).collect::<Result<_, _>>()?,
        latest: latest.iter().map(|row| recorded(&run, row)).collect::<Result<_, _>>()?,
    })
}

/// Removes runs in one transaction.
async fn prune(writer: &mut SqliteConnection, before: UnixMillis) -> Result<u64, JournalError> {
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(STALE).bind(before.0).execute(&mut *transaction).await?;
    let stale: i64 = sqlx::query_scalar("SELECT count(*) FROM stale").fetch_one(&mut *transaction).await?;
    sqlx::query(PRUNE).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(stale.unsigned_abs())
}

fn line(run: &RunId, row: &SqliteRow) -> Result<LogLine, JournalError> {
    Ok(LogLine {
        run: run.clone(),
        step: row.try_get("step")?,
        attempt: row.try_get("attempt")?,
        at: UnixMillis(row.try_get("at")?),
        text: row.try_get("line")?,
    })
}

impl Journal for SqliteJournal {
    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Vec<RunId>, JournalError>> {
        Box::pin(async move {
            let whole = argument::of_commit(&commit);
            match self.write(statements(&commit), whole).await {
                Ok(()) => Ok(vec![]),
                Err(WriteError::Fenced | WriteError::Locked) => self.commit_each(commit).await,
                Err(WriteError::Journal(error)) => Err(error),
            }
        })
    }

    fn take_over(&self, wish: TakeOverRequest) -> BoxFuture<'_, Result<bool, JournalError>> {
        Box::pin(async move {
            match self.write(TAKE_OVER, argument::of_take_over(&wish)).await {
                Ok(()) => Ok(true),
                Err(WriteError::Fenced | WriteError::Locked) => Ok(false),
                Err(WriteError::Journal(error)) => Err(error),
            }
        })
    }

    fn renew(&self, held: Vec<(RunId, u64)>, lease_until: UnixMillis) -> BoxFuture<'_, Result<(), JournalError>> {
        Box::pin(async move {
            let held: Vec<_> = held.iter().map(|(run, epoch)| json!({ "run": run, "epoch": epoch })).collect();
            let argument = json!({ "lease_until": lease_until, "held": held }).to_string();
            Ok(self.write(RENEW, argument).await?)
        })
    }

    fn release(&self, run: RunId, epoch: u64) -> BoxFuture<'_, Result<(), JournalError>> {
        Box::pin(async move { Ok(self.write(RELEASE, json!({ "run": run, "epoch": epoch }).to_string()).await?) })
    }

    fn load(&self, run: RunId) -> BoxFuture<'_, Result<StoredRun, JournalError>> {
        Box::pin(async move { load(&mut *self.reader.lock().await, run).await })
    }

    fn later(&self, held: Vec<(RunId, u64, u64)>) -> BoxFuture<'_, Result<Vec<(RunId, TimedEntry)>, JournalError>> {
        Box::pin(async move {
            let mut reader = self.reader.lock().await;
            let rows = sqlx::query(LATER).bind(argument::text_of(&held)).fetch_all(&mut *reader).await?;
            let later = |row: &SqliteRow| {
                let id: String = row.try_get("id")?;
                let id: RunId = id.parse().map_err(|e| JournalError::Corrupt(format!("{e}")))?;
                recorded(&id, row).map(|recorded| (id, recorded))
            };
            rows.iter().map(later).collect()
        })
    }

    fn holders(&self, locks: Vec<String>) -> BoxFuture<'_, Result<Vec<HeldLock>, JournalError>> {
        Box::pin(async move {
            let mut reader = self.reader.lock().await;
            let rows = sqlx::query(HOLDERS).bind(argument::text_of(&locks)).fetch_all(&mut *reader).await?;
            rows.iter().map(|found| Ok(HeldLock { name: found.try_get("name")?, holder: row(found)? })).collect()
        })
    }

    fn log(&self, lines: Vec<LogLine>) -> BoxFuture<'_, Result<(), JournalError>> {
        Box::pin(async move {
            let lines: Vec<_> = lines.iter().map(|l| json!([l.run, l.step, l.attempt, l.at, l.text])).collect();
            Ok(self.write(LOG, argument::text_of(&lines)).await?)
        })
    }

    fn lines(&self, run: RunId) -> BoxFuture<'_, Result<Vec<LogLine>, JournalError>> {
        Box::pin(async move {
            let mut reader = self.reader.lock().await;
            let rows = sqlx::query(LINES).bind(run.as_str()).fetch_all(&mut *reader).await?;
            rows.iter().map(|row| line(&run, row)).collect()
        })
    }

    fn prune(&self, before: UnixMillis) -> BoxFuture<'_, Result<u64, JournalError>> {
        Box::pin(async move { prune(&mut *self.writer.lock().await, before).await })
    }

    fn runs(&self, limit: u32) -> BoxFuture<'_, Result<Vec<RunRow>, JournalError>> {
        Box::pin(async move {
            let mut reader = self.reader.lock().await;
            let rows = sqlx::query(LIST).bind(limit);
            rows.fetch_all(&mut *reader).await?.iter().map(row).collect()
        })
    }
}
