//! Rates of the disk and of a bare database on it, to which the ratios refer.

use std::{fs::File, os::unix::fs::FileExt, path::Path, time::Instant};

use sqlx::{
    ConnectOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

/// Measures the durable writes per second, during `seconds`: each overwrites a page of 4 KiB and
/// calls `fdatasync`.
///
/// Pages are overwritten, since a write-ahead log that is not truncated is overwritten too.
pub(crate) fn commits_per_second(folder: &Path, seconds: f64) -> f64 {
    let path = folder.join("disk");
    let file = File::create(&path).unwrap();
    let page = [7_u8; 4096];
    for i in 0..64 {
        file.write_all_at(&page, i * 4096).unwrap();
    }
    file.sync_all().unwrap();
    let (started, mut commits) = (Instant::now(), 0_u32);
    while started.elapsed().as_secs_f64() < seconds {
        file.write_all_at(&page, u64::from(commits % 64) * 4096).unwrap();
        file.sync_data().unwrap();
        commits += 1;
    }
    let rate = f64::from(commits) / started.elapsed().as_secs_f64();
    std::fs::remove_file(path).unwrap();
    rate
}

/// Measures the commits per second of an SQLite database that is as durable as the journal:
/// `commits` inserts of one small row each, into a new file, as a run of that many steps makes
/// them.
pub(crate) fn database_commits_per_second(folder: &Path, commits: u32) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir_in(folder).unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(folder.path().join("bare.db")).create_if_missing(true);
        let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
        let mut database = options.connect().await.unwrap();
        sqlx::query("CREATE TABLE row (key INTEGER PRIMARY KEY, body TEXT)").execute(&mut database).await.unwrap();
        let started = Instant::now();
        for _ in 0..commits {
            let insert = sqlx::query("INSERT INTO row (body) VALUES ('one step, about as long as the entries of one')");
            insert.execute(&mut database).await.unwrap();
        }
        f64::from(commits) / started.elapsed().as_secs_f64()
    })
}
