//! What the disk, and a bare database on it, can do: the limits that the ratios refer to.

use std::{fs::File, os::unix::fs::FileExt, path::Path, time::Instant};

use sqlx::{
    ConnectOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

/// Durable commits a second: a page of 4 KiB overwritten in place and `fdatasync`, one after the other, for `seconds`.
///
/// In place, since a write-ahead log that is not truncated is overwritten too.
pub(crate) fn commits_per_second(folder: &Path, seconds: f64) -> f64 {
    let path = folder.join("disk");
    let file = File::create(&path).unwrap();
    let page = [7_u8; 4096];
    for i in 0..64 {
        file.write_all_at(&page, i * 4096).unwrap();
    }
    file.sync_all().unwrap();
    let (begun, mut commits) = (Instant::now(), 0_u32);
    while begun.elapsed().as_secs_f64() < seconds {
        file.write_all_at(&page, u64::from(commits % 64) * 4096).unwrap();
        file.sync_data().unwrap();
        commits += 1;
    }
    let rate = f64::from(commits) / begun.elapsed().as_secs_f64();
    std::fs::remove_file(path).unwrap();
    rate
}

/// Commits a second of an SQLite database that is as durable as the journal: one small row each, for `seconds`.
pub(crate) fn database_commits_per_second(folder: &Path, seconds: f64) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let file = folder.join("bare.db");
        let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
        let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
        let mut database = options.connect().await.unwrap();
        sqlx::query("CREATE TABLE IF NOT EXISTS row (key INTEGER PRIMARY KEY, body TEXT)")
            .execute(&mut database)
            .await
            .unwrap();
        let (begun, mut commits) = (Instant::now(), 0_u32);
        while begun.elapsed().as_secs_f64() < seconds {
            let insert = sqlx::query("INSERT INTO row (body) VALUES ('one step, about as long as the entries of one')");
            insert.execute(&mut database).await.unwrap();
            commits += 1;
        }
        f64::from(commits) / begun.elapsed().as_secs_f64()
    })
}
