use std::path::Path;

use futures::future::BoxFuture;
use sqlx::{
    Connection, Row, Sqlite, SqliteConnection,
    query::Query,
    sqlite::{SqliteArguments, SqliteRow},
};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};

use self::identity::FileIdentity;
use super::{
    Append, Commit, Cursor, HeldLock, Journal, JournalError, LockTaking, LogLine, RunRow, StoredRun, TakeOverRequest,
};
use crate::{
    clock::UnixMillis,
    id::{Epoch, RunId},
    run::{Outcome, RunStatus, TimedEntry},
};

mod append;
mod error;
mod file_kind;
mod folder;
mod history;
mod identity;
pub(super) mod inspect;
mod open;
mod payload;
mod rows;
mod statements;

/// Journal in an `SQLite` file: write-ahead log, `synchronous=FULL`, one connection that writes and
/// one that reads.
///
/// A journal that is dropped without [`Journal::close`] leaves its write-ahead log, which the next
/// process that opens the file writes back.
pub struct SqliteJournal {
    /// `None` once the journal is closed, as the reader.
    writer: Mutex<Option<SqliteConnection>>,
    reader: Mutex<Option<SqliteConnection>>,
    identity: Mutex<FileIdentity>,
}

impl SqliteJournal {
    /// Opens the journal file, after creating it with mode 0600 and migrating it if necessary.
    ///
    /// # Errors
    /// [`JournalError::Open`], [`JournalError::Newer`], [`JournalError::Foreign`] or
    /// [`JournalError::Corrupt`]; [`JournalError::NotDurable`] if a setting on which durability
    /// depends did not take effect.
    pub async fn open(path: &Path) -> Result<Self, JournalError> {
        let (mut writer, reader) = open::open(path).await?;
        let identity = FileIdentity::read(path, &mut writer).await?;
        Ok(Self { writer: Mutex::new(Some(writer)), reader: Mutex::new(Some(reader)), identity: Mutex::new(identity) })
    }

    async fn writer(&self) -> Result<MappedMutexGuard<'_, SqliteConnection>, JournalError> {
        opened(self.writer.lock().await)
    }

    async fn reader(&self) -> Result<MappedMutexGuard<'_, SqliteConnection>, JournalError> {
        opened(self.reader.lock().await)
    }

    /// Runs `statements`, which are one transaction, with one argument.
    async fn write(&self, statements: &'static str, argument: String) -> Result<(), WriteError> {
        self.execute(sqlx::query(statements).bind(argument)).await
    }

    /// Runs a query that is one transaction.
    async fn execute(&self, query: Query<'_, Sqlite, SqliteArguments>) -> Result<(), WriteError> {
        let mut writer = self.writer().await?;
        match query.execute(&mut *writer).await {
            Ok(_) => Ok(()),
            Err(error) => {
                roll_back(&mut writer).await;
                Err(error.into())
            }
        }
    }

    /// Writes a commit in one transaction.
    async fn write_commit(&self, commit: &Commit) -> Result<(), WriteError> {
        match append::of_commit(commit) {
            Some(append) => self.execute(append).await,
            None if is_large(commit) => self.write_large(commit).await,
            None => self.write(statements::of_commit(commit), payload::commit(commit)).await,
        }
    }

    /// Writes a commit with large entries in one transaction.
    ///
    /// Those are bound to statements of their own: `SQLite` parses and copies the JSON argument of
    /// the others several times.
    async fn write_large(&self, commit: &Commit) -> Result<(), WriteError> {
        let mut writer = self.writer().await?;
        let result = write_large(&mut writer, commit).await;
        if result.is_err() {
            roll_back(&mut writer).await;
        }
        Ok(result?)
    }

    /// Writes run by run, and returns the runs that were refused.
    async fn commit_each(&self, commit: Commit) -> Result<Vec<RunId>, JournalError> {
        let mut refused = Vec::new();
        let at = commit.at;
        // Runs that finish come first, since they release locks that new runs may take.
        let appends = commit
            .appends
            .into_iter()
            .map(|append| (append.run.clone(), Commit { at, creates: vec![], appends: vec![append] }));
        let creates = commit
            .creates
            .into_iter()
            .map(|create| (create.id.clone(), Commit { at, creates: vec![create], appends: vec![] }));
        for (run, one) in appends.chain(creates) {
            match self.write_commit(&one).await {
                Ok(()) => {}
                Err(WriteError::Fenced | WriteError::Locked) => refused.push(run),
                Err(WriteError::Journal(error)) => return Err(error),
            }
        }
        Ok(refused)
    }
}

impl Journal for SqliteJournal {
    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Vec<RunId>, JournalError>> {
        Box::pin(async move {
            match self.write_commit(&commit).await {
                Ok(()) => Ok(vec![]),
                Err(WriteError::Fenced | WriteError::Locked) => self.commit_each(commit).await,
                Err(WriteError::Journal(error)) => Err(error),
            }
        })
    }

    fn take_over(&self, request: TakeOverRequest) -> BoxFuture<'_, Result<bool, JournalError>> {
        Box::pin(async move {
            match self.write(statements::TAKE_OVER, payload::take_over(&request)).await {
                Ok(()) => Ok(true),
                Err(WriteError::Fenced | WriteError::Locked) => Ok(false),
                Err(WriteError::Journal(error)) => Err(error),
            }
        })
    }

    fn renew(
        &self,
        owned: Vec<(RunId, Epoch)>,
        lease_until: UnixMillis,
    ) -> BoxFuture<'_, Result<Vec<RunId>, JournalError>> {
        Box::pin(async move {
            let argument = payload::renew(&owned, lease_until);
            let mut writer = self.writer().await?;
            let renewed = sqlx::query(statements::RENEW).bind(argument).fetch_all(&mut *writer).await?;
            renewed.iter().map(rows::run_id).collect()
        })
    }

    fn release(&self, run: RunId, epoch: Epoch) -> BoxFuture<'_, Result<(), JournalError>> {
        Box::pin(async move { Ok(self.write(statements::RELEASE, payload::release(&run, epoch)).await?) })
    }

    fn load(&self, run: RunId) -> BoxFuture<'_, Result<StoredRun, JournalError>> {
        Box::pin(async move { load(&mut *self.reader().await?, run).await })
    }

    fn row(&self, run: RunId) -> BoxFuture<'_, Result<RunRow, JournalError>> {
        Box::pin(async move { rows::run(&find(&mut *self.reader().await?, &run).await?) })
    }

    fn external_entries(&self, after: Vec<Cursor>) -> BoxFuture<'_, Result<Vec<(RunId, TimedEntry)>, JournalError>> {
        Box::pin(async move {
            let cursors = payload::cursors(&after);
            let mut reader = self.reader().await?;
            let rows = sqlx::query(statements::EXTERNAL_ENTRIES).bind(cursors).fetch_all(&mut *reader).await?;
            let entry = |row: &SqliteRow| {
                let run = rows::run_id(row)?;
                rows::entry(&run, row).map(|entry| (run, entry))
            };
            rows.iter().map(entry).collect()
        })
    }

    fn holders(&self, locks: Vec<String>) -> BoxFuture<'_, Result<Vec<HeldLock>, JournalError>> {
        Box::pin(async move {
            let mut reader = self.reader().await?;
            let rows = sqlx::query(statements::HOLDERS).bind(payload::to_text(&locks)).fetch_all(&mut *reader).await?;
            rows.iter().map(|row| Ok(HeldLock { name: row.try_get("name")?, holder: rows::run(row)? })).collect()
        })
    }

    fn last_takers(&self, locks: Vec<String>) -> BoxFuture<'_, Result<Vec<LockTaking>, JournalError>> {
        Box::pin(async move {
            let mut reader = self.reader().await?;
            let takers = sqlx::query(statements::LAST_TAKERS).bind(payload::to_text(&locks));
            takers.fetch_all(&mut *reader).await?.iter().map(rows::lock_taking).collect()
        })
    }

    fn log(&self, lines: Vec<LogLine>) -> BoxFuture<'_, Result<(), JournalError>> {
        Box::pin(async move { Ok(self.write(statements::LOG, payload::log(&lines)).await?) })
    }

    fn log_lines(&self, run: RunId) -> BoxFuture<'_, Result<Vec<LogLine>, JournalError>> {
        Box::pin(async move {
            let mut reader = self.reader().await?;
            let rows = sqlx::query(statements::LOG_LINES).bind(run.as_str()).fetch_all(&mut *reader).await?;
            rows.iter().map(|row| rows::log_line(&run, row)).collect()
        })
    }

    fn prune(&self, before: UnixMillis) -> BoxFuture<'_, Result<u64, JournalError>> {
        Box::pin(async move { prune(&mut *self.writer().await?, before).await })
    }

    fn runs(&self, limit: u32) -> BoxFuture<'_, Result<Vec<RunRow>, JournalError>> {
        Box::pin(async move {
            let mut reader = self.reader().await?;
            let rows = sqlx::query(statements::LIST).bind(limit);
            rows.fetch_all(&mut *reader).await?.iter().map(rows::run).collect()
        })
    }

    fn verify_identity(&self) -> BoxFuture<'_, Result<(), JournalError>> {
        Box::pin(async move {
            let mut writer = self.writer().await?;
            self.identity.lock().await.verify(&mut writer).await
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), JournalError>> {
        Box::pin(async move {
            // The connection that closes last writes the log back and removes it.
            for connection in [&self.reader, &self.writer] {
                if let Some(connection) = connection.lock().await.take() {
                    connection.close().await?;
                }
            }
            Ok(())
        })
    }
}

fn opened(
    connection: MutexGuard<'_, Option<SqliteConnection>>,
) -> Result<MappedMutexGuard<'_, SqliteConnection>, JournalError> {
    MutexGuard::try_map(connection, Option::as_mut).map_err(|_| JournalError::Database("it is closed".into()))
}

/// Reason for which nothing was written.
enum WriteError {
    /// Another process owns a run or has written to it.
    Fenced,
    /// Another run holds a lock.
    Locked,
    /// The write failed.
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

impl From<JournalError> for WriteError {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

impl From<WriteError> for JournalError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Fenced | WriteError::Locked => Self::Database("another process owns the run".into()),
            WriteError::Journal(error) => error,
        }
    }
}

/// Leaves no transaction open after a failure. A transaction that failed to begin leaves none to
/// roll back.
async fn roll_back(writer: &mut SqliteConnection) {
    if let Err(error) = sqlx::query("ROLLBACK").execute(writer).await {
        tracing::debug!(%error, "no transaction to roll back");
    }
}

/// True if an entry of the commit is large.
fn is_large(commit: &Commit) -> bool {
    commit.appends.iter().flat_map(|append| &*append.entries).any(|timed| timed.entry.is_large())
}

async fn write_large(writer: &mut SqliteConnection, commit: &Commit) -> Result<(), sqlx::Error> {
    let with_appends = |of: fn(&Append) -> Append, creates| {
        payload::commit(&Commit { at: commit.at, creates, appends: commit.appends.iter().map(of).collect() })
    };
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *writer).await?;
    let checks = with_appends(append::check_only, Vec::new());
    sqlx::query(statements::BATCH).bind(checks).execute(&mut *writer).await?;
    for query in commit.appends.iter().flat_map(append::of_history) {
        query.execute(&mut *writer).await?;
    }
    let rest = with_appends(append::without_history, commit.creates.clone());
    for statement in statements::parts_of_commit(commit) {
        sqlx::query(*statement).bind(rest.as_str()).execute(&mut *writer).await?;
    }
    sqlx::query("COMMIT").execute(&mut *writer).await?;
    Ok(())
}

async fn load(reader: &mut SqliteConnection, run: RunId) -> Result<StoredRun, JournalError> {
    let mut snapshot = reader.begin().await?;
    let found = find(&mut snapshot, &run).await?;
    let key: i64 = found.try_get("key")?;
    let history = history::read(&mut snapshot, &run, key).await?;
    let latest = sqlx::query(statements::LATEST).bind(key).fetch_all(&mut *snapshot).await?;
    snapshot.rollback().await?;
    Ok(StoredRun {
        row: rows::run(&found)?,
        plan_json: found.try_get("body")?,
        history,
        latest: latest.iter().map(|row| rows::entry(&run, row)).collect::<Result<_, _>>()?,
    })
}

/// Returns the row of a run, with its plan.
async fn find(reader: &mut SqliteConnection, run: &RunId) -> Result<SqliteRow, JournalError> {
    let found = sqlx::query(statements::LOAD).bind(run.as_str()).fetch_optional(reader).await?;
    found.ok_or_else(|| JournalError::NoSuchRun(run.clone()))
}

/// Deletes runs in one transaction.
async fn prune(writer: &mut SqliteConnection, before: UnixMillis) -> Result<u64, JournalError> {
    let statuses = [Outcome::Succeeded, Outcome::Failed, Outcome::Cancelled].map(|o| RunStatus::Finished(o).as_str());
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
    let collect = sqlx::query(statements::PRUNABLE_RUNS).bind(before.0).bind(payload::to_text(&statuses));
    collect.execute(&mut *transaction).await?;
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM prunable").fetch_one(&mut *transaction).await?;
    sqlx::query(statements::PRUNE).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(count.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::journal::testing::samples;

    #[tokio::test]
    async fn a_full_disk_is_an_error_and_writes_nothing() {
        let folder = tempfile::tempdir().expect("a directory");
        let journal = SqliteJournal::open(&folder.path().join("journal.db")).await.expect("a journal");
        let run = RunId::generate();
        journal.commit(samples::creates(vec![samples::new_run(&run)])).await.expect("created");
        // `SQLite` reports a full disk when the file reaches its maximum number of pages.
        let mut writer = journal.writer().await.expect("it is open");
        let pages: i64 = sqlx::query_scalar("SELECT page_count FROM pragma_page_count")
            .fetch_one(&mut *writer)
            .await
            .expect("pages");
        let limit = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
        sqlx::query(limit).execute(&mut *writer).await.expect("limited");
        drop(writer);
        let big = samples::checkpoint("a", 1, &json!("x".repeat(1 << 20)));
        let error = journal.commit(samples::appends(vec![samples::append(&run, 1, 2, vec![big])])).await;
        assert_eq!(error, Err(JournalError::Full));
        assert!(journal.load(run).await.expect("loaded").latest.is_empty());
    }
}
