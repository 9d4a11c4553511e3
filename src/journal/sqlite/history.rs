//! Reading of a run's history.

use sqlx::{Row, SqliteConnection};

use super::{rows, statements};
use crate::{
    clock::UnixMillis,
    id::RunId,
    journal::JournalError,
    run::{Entry, TimedEntry},
};

/// Reads the history of the run, which has this key.
pub(super) async fn read(
    reader: &mut SqliteConnection,
    run: &RunId,
    key: i64,
) -> Result<Vec<TimedEntry>, JournalError> {
    match read_blocks(reader, key).await {
        Some(history) => Ok(history),
        None => read_rows(reader, run, key).await,
    }
}

/// Reads blocks of entries. Returns `None` if a block is too large, or has an entry that cannot be
/// read.
async fn read_blocks(reader: &mut SqliteConnection, key: i64) -> Option<Vec<TimedEntry>> {
    let blocks = sqlx::query(statements::HISTORY_BLOCKS).bind(key).fetch_all(reader).await.ok()?;
    let mut history = Vec::new();
    for block in &blocks {
        let entries: Vec<(i64, Entry)> = serde_json::from_str(block.try_get("entries").ok()?).ok()?;
        history.extend(entries.into_iter().map(|(at, entry)| TimedEntry { at: UnixMillis(at), entry }));
    }
    Some(history)
}

/// Reads the entries one by one, so that an error names the entry.
async fn read_rows(reader: &mut SqliteConnection, run: &RunId, key: i64) -> Result<Vec<TimedEntry>, JournalError> {
    let entries = sqlx::query(statements::HISTORY).bind(key).fetch_all(reader).await?;
    entries.iter().map(|row| rows::entry(run, row)).collect()
}
