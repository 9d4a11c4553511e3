//! What the disk can do: the limit that every ratio refers to.

use std::{fs::File, os::unix::fs::FileExt, path::Path, time::Instant};

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
