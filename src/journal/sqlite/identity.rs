//! Verification that the file at the journal's path is the one that was opened.

use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{error::cannot_open, folder::with_suffix, statements};
use crate::journal::JournalError;

/// Suffixes of the files that make up an open journal.
const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];
/// Number of times that a file without a readable identity is read: another process may be copying
/// its write-ahead log into it.
const READS: usize = 3;

/// Identity of an open journal file.
pub(super) struct FileIdentity {
    /// Path under which the file was opened.
    path: PathBuf,
    /// Path of the file itself, next to which its write-ahead log is.
    file: PathBuf,
    /// Device and inode of the file, its write-ahead log and its index.
    inodes: [(u64, u64); SUFFIXES.len()],
    /// Random id in the file.
    id: String,
    /// Number of verifications that the file itself had at the last one.
    verification: i64,
}

impl FileIdentity {
    /// Reads the identity of the file that `writer` has opened.
    pub(super) async fn read(path: &Path, writer: &mut SqliteConnection) -> Result<Self, JournalError> {
        let id = sqlx::query_scalar(statements::IDENTITY).fetch_one(&mut *writer).await?;
        let path = std::path::absolute(path).map_err(|e| cannot_open(path, e))?;
        let file = path.canonicalize().map_err(|e| cannot_open(&path, e))?;
        let [main, log, index] = SUFFIXES.map(|suffix| inode(&with_suffix(&file, suffix)));
        let read = |found: io::Result<(u64, u64)>| found.map_err(|e| cannot_open(&path, e));
        Ok(Self { inodes: [read(main)?, read(log)?, read(index)?], id, verification: 0, path, file })
    }

    /// Checks that the file at the path is still the one that was opened, and that it has not been
    /// overwritten with a copy of itself.
    pub(super) async fn verify(&mut self, writer: &mut SqliteConnection) -> Result<(), JournalError> {
        self.verify_files()?;
        self.verify_content().await?;
        let verification = sqlx::query_scalar(statements::VERIFY).fetch_one(&mut *writer).await?;
        let checkpoint = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").fetch_one(&mut *writer).await?;
        let (pages, copied): (i64, i64) = (checkpoint.try_get(1)?, checkpoint.try_get(2)?);
        if pages == copied {
            self.verification = verification;
        }
        Ok(())
    }

    fn verify_files(&self) -> Result<(), JournalError> {
        let [main, log, index] = &self.inodes;
        let is_same = |path: &Path, expected: &(u64, u64)| inode(path).map(|found| found == *expected);
        match is_same(&self.path, main) {
            Ok(true) => {}
            Ok(false) => return Err(self.displaced("another file has its path")),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(self.displaced("it was deleted")),
            Err(e) => return Err(self.displaced(&e.to_string())),
        }
        if is_mount_point(&self.path) {
            return Err(self.displaced("another file system is mounted at its path"));
        }
        let has_log = |suffix, expected| is_same(&with_suffix(&self.file, suffix), expected).unwrap_or(false);
        if has_log("-wal", log) && has_log("-shm", index) {
            Ok(())
        } else {
            Err(self.displaced("its write-ahead log was deleted or replaced"))
        }
    }

    /// Reads the identity from the file itself, regardless of its write-ahead log.
    async fn verify_content(&self) -> Result<(), JournalError> {
        let mut found = read_file(&self.file).await;
        for _ in 1..READS {
            if found.is_ok() {
                break;
            }
            found = read_file(&self.file).await;
        }
        match found {
            Ok((id, _)) if id != self.id => Err(self.displaced("another journal has overwritten it")),
            Ok((_, verification)) if verification < self.verification => {
                Err(self.displaced("an earlier copy has overwritten it"))
            }
            Ok(_) => Ok(()),
            Err(error) => Err(self.displaced(&format!("its identity cannot be read: {error}"))),
        }
    }

    fn displaced(&self, reason: &str) -> JournalError {
        JournalError::Displaced { journal: self.path.display().to_string(), reason: reason.into() }
    }
}

/// Refuses a file that is mounted without its folder: its write-ahead log would be in another
/// folder, and be lost with it.
pub(super) fn refuse_mounted_file(path: &Path) -> Result<(), JournalError> {
    if is_mount_point(path) {
        let reason = "it is mounted as a single file, without the folder of its write-ahead log".into();
        return Err(JournalError::NotDurable { journal: path.display().to_string(), reason });
    }
    Ok(())
}

/// True if another file system is mounted at the path. Kernels before 5.8 do not know.
fn is_mount_point(path: &Path) -> bool {
    rustix::fs::statx(CWD, path, AtFlags::empty(), StatxFlags::empty())
        .is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    path.metadata().map(|found| (found.dev(), found.ino()))
}

/// Reads id and number of verifications, of which the write-ahead log may have newer ones.
async fn read_file(file: &Path) -> Result<(String, i64), sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(file).read_only(true).immutable(true);
    let mut reader = options.disable_statement_logging().connect().await?;
    let found = sqlx::query_as(statements::IDENTITY).fetch_one(&mut reader).await;
    reader.close().await?;
    found
}
