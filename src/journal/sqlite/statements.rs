//! SQL of the journal in SQLite. The schema is in `migrations/`.

use crate::{journal::Commit, run::RunStatus};

/// Returns the statements that write a commit.
pub(super) fn of_commit(commit: &Commit) -> &'static str {
    match parts_of_commit(commit) {
        [_] => BATCH,
        [_, _] => BATCH_AND_LOCKS,
        _ => BATCH_AND_LOCKS_IF_SEEN,
    }
}

/// Returns the statements that write a commit in an open transaction. Commits that neither take nor
/// release locks have only the first one.
pub(super) fn parts_of_commit(commit: &Commit) -> &'static [&'static str] {
    let takes_locks = commit.creates.iter().any(|run| !run.locks.is_empty() || !run.evictions.is_empty());
    let releases_locks = commit.appends.iter().any(|append| match append.status {
        RunStatus::Running => false,
        RunStatus::Finished(_) => true,
    });
    if commit.creates.iter().any(|run| !run.seen_takers.is_empty()) {
        &[BATCH, "INSERT INTO taking VALUES (?1)", "INSERT INTO locking VALUES (?1)"]
    } else if takes_locks || releases_locks {
        &[BATCH, "INSERT INTO locking VALUES (?1)"]
    } else {
        &[BATCH]
    }
}

/// Appends up to [`MAX_APPENDED`] entries to a run: its id, epoch, latest sequence number, and time
/// and body of each.
pub(super) const APPEND: &str = "INSERT INTO append VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";

/// Maximum number of entries that [`APPEND`] takes.
pub(super) const MAX_APPENDED: usize = 4;

/// Appends an entry: id of the run, sequence number, time and body.
pub(super) const APPEND_LARGE: &str =
    "INSERT INTO entry (key, at, body) SELECT (key << 32) + ?2, ?3, ?4 FROM run WHERE id = ?1";

/// Writes a commit in an open transaction.
pub(super) const BATCH: &str = "INSERT INTO batch VALUES (?1)";
const BATCH_AND_LOCKS: &str = "
    BEGIN IMMEDIATE;
    INSERT INTO batch VALUES (?1);
    INSERT INTO locking VALUES (?1);
    COMMIT;";

const BATCH_AND_LOCKS_IF_SEEN: &str = "
    BEGIN IMMEDIATE;
    INSERT INTO batch VALUES (?1);
    INSERT INTO taking VALUES (?1);
    INSERT INTO locking VALUES (?1);
    COMMIT;";

/// Makes a process the owner of a run under the next epoch.
pub(super) const TAKE_OVER: &str = "
    BEGIN IMMEDIATE;
    UPDATE run SET epoch = epoch + 1, owner = ?1 ->> 'owner', lease_until = ?1 ->> 'lease_until'
        WHERE id = ?1 ->> 'run' AND epoch = ?1 ->> 'seen_epoch' AND lease_until = ?1 ->> 'seen_lease';
    INSERT INTO batch VALUES (?1);
    INSERT INTO taking VALUES (?1);
    INSERT INTO locking VALUES (?1);
    COMMIT;";

/// Reads the columns of a run, the sequence number of its latest entry as `seq`, and its plan.
pub(super) const LOAD: &str = "
    SELECT run.*, plan.body, coalesce((
        SELECT max(entry.key) FROM entry
        WHERE entry.key BETWEEN run.key << 32 AND (run.key + 1 << 32) - 1) & 0xffffffff, 0) AS seq
    FROM run JOIN plan ON plan.digest = run.plan WHERE id = ?1";

/// Reads the history of the run with this key as JSON arrays of `[at, body]`, each with up to 64
/// entries: fewer rows, of which each costs a message between two threads.
pub(super) const HISTORY_BLOCKS: &str = "
    SELECT '[' || group_concat('[' || at || ',' || body || ']', ',' ORDER BY key) || ']' AS entries
    FROM entry WHERE key BETWEEN ?1 << 32 AND (?1 + 1 << 32) - 1
    GROUP BY key >> 6 ORDER BY key >> 6";

/// Reads the history of the run with this key, each entry in its row.
pub(super) const HISTORY: &str =
    "SELECT at, body FROM entry WHERE key BETWEEN ?1 << 32 AND (?1 + 1 << 32) - 1 ORDER BY key";

/// Reads the latest attempts and checkpoints of the run with this key.
pub(super) const LATEST: &str = "SELECT at, body FROM attempt WHERE run = ?1 ORDER BY step, kind";

/// Reads the newest runs, with `seq` as in [`LOAD`].
pub(super) const LIST: &str = "
    SELECT run.*, coalesce((
        SELECT max(entry.key) FROM entry
        WHERE entry.key BETWEEN run.key << 32 AND (run.key + 1 << 32) - 1) & 0xffffffff, 0) AS seq
    FROM run ORDER BY key DESC LIMIT ?1";

/// Extends the leases of the runs that are still owned under these epochs, and returns their ids.
pub(super) const RENEW: &str = "
    UPDATE run SET lease_until = ?1 ->> 'lease_until' FROM json_each(?1, '$.held') AS held
        WHERE run.id = held.value ->> 'run' AND run.epoch = held.value ->> 'epoch' AND run.owner IS NOT NULL
        RETURNING id";

/// Releases a run and its locks.
pub(super) const RELEASE: &str = "
    BEGIN IMMEDIATE;
    DELETE FROM lock WHERE run IN (SELECT key FROM run WHERE id = ?1 ->> 'run' AND epoch = ?1 ->> 'epoch');
    UPDATE run SET owner = NULL, lease_until = 0 WHERE id = ?1 ->> 'run' AND epoch = ?1 ->> 'epoch';
    COMMIT;";

/// Reads the entries after each cursor `[run, epoch, seq]`.
pub(super) const EXTERNAL_ENTRIES: &str = "
    SELECT run.id, entry.at, entry.body
    FROM json_each(?1) AS held
    CROSS JOIN run ON run.id = held.value ->> 0 AND run.epoch = held.value ->> 1
    CROSS JOIN entry ON entry.key BETWEEN (run.key << 32 | held.value ->> 2) + 1 AND (run.key + 1 << 32) - 1
    ORDER BY entry.key";

/// Appends log lines `[run, step, attempt, at, text]`.
pub(super) const LOG: &str = "
    INSERT INTO log (run, step, attempt, at, line)
        SELECT run.key, line.value ->> 1, line.value ->> 2, line.value ->> 3, line.value ->> 4
        FROM json_each(?1) AS line CROSS JOIN run ON run.id = line.value ->> 0
        ORDER BY line.key";

/// Reads the log lines of a run.
pub(super) const LOG_LINES: &str = "
    SELECT log.* FROM log JOIN run ON run.key = log.run WHERE run.id = ?1 ORDER BY log.key";

/// Collects the runs to delete into a temporary table. `?2` is a JSON array of statuses.
pub(super) const PRUNABLE_RUNS: &str = "
    CREATE TEMP TABLE prunable AS
        SELECT key FROM run WHERE status IN (SELECT value FROM json_each(?2)) AND updated_at < ?1";

/// Deletes the collected runs, with plans that no other run has.
pub(super) const PRUNE: &str = "
    DELETE FROM log WHERE run IN (SELECT key FROM prunable);
    DELETE FROM attempt WHERE run IN (SELECT key FROM prunable);
    DELETE FROM entry WHERE key >> 32 IN (SELECT key FROM prunable);
    DELETE FROM run WHERE key IN (SELECT key FROM prunable);
    DELETE FROM plan WHERE digest NOT IN (SELECT plan FROM run);
    DROP TABLE prunable;";

/// Reads the runs that took locks last, in the order of the requested names.
pub(super) const LAST_TAKERS: &str = "
    SELECT lock_taken.* FROM json_each(?1) AS requested
    JOIN lock_taken ON lock_taken.name = requested.value
    ORDER BY requested.key";

/// Reads the holders of locks, in the order of the requested names, with `seq` as in [`LOAD`].
pub(super) const HOLDERS: &str = "
    SELECT lock.name, run.*, coalesce((
        SELECT max(entry.key) FROM entry
        WHERE entry.key BETWEEN run.key << 32 AND (run.key + 1 << 32) - 1) & 0xffffffff, 0) AS seq
    FROM json_each(?1) AS requested
    JOIN lock ON lock.name = requested.value JOIN run ON run.key = lock.run
    ORDER BY requested.key";

/// Reads the id of the journal and the number of its verifications.
pub(super) const IDENTITY: &str = "SELECT id, verification FROM identity";

/// Counts a verification.
pub(super) const VERIFY: &str = "UPDATE identity SET verification = verification + 1 RETURNING verification";
