//! Conversion of rows.

use sqlx::{Row, sqlite::SqliteRow};

use crate::{
    clock::UnixMillis,
    id::{Epoch, PlanDigest, RunId, Seq},
    journal::{JournalError, LockTaking, LogLine, Owner, RunRow},
    run::{RunStatus, TimedEntry},
};

pub(super) fn run_id(row: &SqliteRow) -> Result<RunId, JournalError> {
    let id: String = row.try_get("id")?;
    id.parse().map_err(|e| JournalError::Corrupt(format!("{e}")))
}

pub(super) fn run(row: &SqliteRow) -> Result<RunRow, JournalError> {
    let id = run_id(row)?;
    let status: String = row.try_get("status")?;
    let status: RunStatus =
        status.parse().map_err(|e| JournalError::Unreadable { run: id.clone(), reason: format!("{e}") })?;
    // An owner that an older or newer program described otherwise counts as exited once its lease
    // has expired.
    let owner: Option<String> = row.try_get("owner")?;
    let owner: Option<Owner> = owner.and_then(|text| serde_json::from_str(&text).ok());
    let number = |column: &str| row.try_get::<i64, _>(column).map(i64::unsigned_abs);
    let time = |column: &str| row.try_get(column).map(UnixMillis);
    Ok(RunRow {
        workflow: row.try_get("workflow")?,
        plan_digest: PlanDigest::from(row.try_get::<&str, _>("plan")?),
        status,
        seq: Seq(number("seq")?),
        epoch: Epoch(number("epoch")?),
        owner,
        lease_until: time("lease_until")?,
        created_at: time("created_at")?,
        updated_at: time("updated_at")?,
        id,
    })
}

pub(super) fn lock_taking(row: &SqliteRow) -> Result<LockTaking, JournalError> {
    let run: String = row.try_get("run")?;
    Ok(LockTaking {
        lock: row.try_get("name")?,
        run: run.parse().map_err(|e| JournalError::Corrupt(format!("{e}")))?,
        workflow: row.try_get("workflow")?,
        at: UnixMillis(row.try_get("at")?),
    })
}

pub(super) fn entry(run: &RunId, row: &SqliteRow) -> Result<TimedEntry, JournalError> {
    let body: String = row.try_get("body")?;
    let entry = serde_json::from_str(&body)
        .map_err(|e| JournalError::Unreadable { run: run.clone(), reason: format!("an entry cannot be read: {e}") })?;
    Ok(TimedEntry { at: UnixMillis(row.try_get("at")?), entry })
}

pub(super) fn log_line(run: &RunId, row: &SqliteRow) -> Result<LogLine, JournalError> {
    Ok(LogLine {
        run: run.clone(),
        step: row.try_get("step")?,
        attempt: row.try_get("attempt")?,
        at: UnixMillis(row.try_get("at")?),
        text: row.try_get("line")?,
    })
}
