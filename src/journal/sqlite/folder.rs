//! Folder of the journal file, and the permissions of both.

use std::{
    fs::{DirBuilder, File, Permissions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::Instant;

use super::error::cannot_open;
use crate::journal::JournalError;

/// Permissions that nobody but the owner of a file needs.
const OTHERS: u32 = 0o077;
/// Interval between attempts to lock a folder.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// Returns the folder of a file.
pub(super) fn of(path: &Path) -> &Path {
    let parent = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// Refuses the path of a folder.
pub(super) fn refuse_folder(path: &Path) -> Result<(), JournalError> {
    if path.is_dir() { Err(cannot_open(path, "it is a folder, and a journal is a file")) } else { Ok(()) }
}

/// Creates the missing folders of the path with mode 0700.
pub(super) fn create(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(of(path))
}

/// Creates the file with mode 0600, unless it exists.
pub(super) fn create_private(path: &Path) -> io::Result<()> {
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        // The umask may have removed permissions of the owner.
        Ok(file) => file.set_permissions(Permissions::from_mode(0o600)),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(e),
    }
}

/// Removes the permissions of all but the owner from an existing journal, and warns that it had
/// them.
pub(super) fn make_private(path: &Path) -> Result<(), JournalError> {
    let mode = path.metadata().map_err(|e| cannot_open(path, e))?.mode() & 0o7777;
    if mode & OTHERS == 0 {
        return Ok(());
    }
    for suffix in ["", "-wal", "-shm"] {
        match std::fs::set_permissions(with_suffix(path, suffix), Permissions::from_mode(mode & !OTHERS)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(cannot_open(path, format!("its mode {mode:04o} permits access to other users: {e}")));
            }
            Ok(()) | Err(_) => {}
        }
    }
    tracing::warn!(
        "the journal {} had mode {mode:04o}, which permits access to other users: it now has {:04o}",
        path.display(),
        mode & !OTHERS
    );
    Ok(())
}

/// Returns the path of a file that `SQLite` keeps next to the journal.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Excludes other processes that open a journal in the same folder: two processes that migrate one
/// file at the same time would both create its tables. Waits up to `limit` for them.
///
/// The folder is locked, since closing any handle of the file would release `SQLite`'s own locks on
/// it. Where folders cannot be locked, the second of two such processes gets an error, and nothing
/// is lost.
pub(super) async fn lock(path: &Path, limit: Duration) -> Result<Option<File>, JournalError> {
    let unlockable = |error: io::Error| tracing::debug!(%error, "cannot lock the journal's folder");
    let folder = match File::open(of(path)) {
        Ok(folder) => folder,
        Err(error) => {
            unlockable(error);
            return Ok(None);
        }
    };
    let deadline = Instant::now() + limit;
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(Some(folder)),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => tokio::time::sleep(RETRY_INTERVAL).await,
            Err(TryLockError::WouldBlock) => {
                let holder = holder(&folder).unwrap_or_else(|| "another process".into());
                return Err(cannot_open(path, format!("{holder} has locked its folder for more than {limit:?}")));
            }
            Err(TryLockError::Error(error)) => {
                unlockable(error);
                return Ok(None);
            }
        }
    }
}

/// Describes a process that has locked the file, by `/proc/locks`: the lines are `1: FLOCK ADVISORY
/// WRITE PID MAJOR:MINOR:INODE 0 EOF`.
fn holder(file: &File) -> Option<String> {
    let inode = format!(":{}", file.metadata().ok()?.ino());
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let pid = locks.lines().find_map(|line| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let is_holder = fields.get(1) == Some(&"FLOCK") && fields.get(5).is_some_and(|file| file.ends_with(&inode));
        if is_holder { fields.get(4).copied() } else { None }
    })?;
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(format!("process {pid} ({})", name.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_that_stays_locked_is_an_error_that_names_the_process() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal.db");
        let held = lock(&path, Duration::ZERO).await.expect("locked");
        let error = lock(&path, Duration::from_millis(1)).await.expect_err("it is locked").to_string();
        assert!(error.contains(&format!("process {} (", std::process::id())), "{error}");
        drop(held);
        assert!(lock(&path, Duration::ZERO).await.expect("locked").is_some());
    }
}
