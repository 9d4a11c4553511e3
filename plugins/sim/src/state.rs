use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::world::{Shared, World};

/// Interval at which changes are written.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// Error of a state file.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file could not be read or written.
    #[error("state file {path}")]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Cause of the error.
        source: io::Error,
    },
    /// The file does not contain a world.
    #[error("state file {path} does not hold a world")]
    Format {
        /// Path of the file.
        path: PathBuf,
        /// Cause of the error.
        source: serde_json::Error,
    },
}

/// Returns the world in the file, or `None` if there is no file.
pub(crate) fn load(path: &Path) -> Result<Option<World>, StateError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StateError::File { path: path.to_owned(), source }),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|source| StateError::Format { path: path.to_owned(), source })
}

/// Writes the world completely or not at all. It survives a power loss once this returns.
pub(crate) fn save(path: &Path, shared: &Shared) -> Result<(), StateError> {
    let bytes =
        serde_json::to_vec(&*shared.peek()).map_err(|source| StateError::Format { path: path.to_owned(), source })?;
    write_private(path, &bytes).map_err(|source| StateError::File { path: path.to_owned(), source })
}

/// Writes a file that only its owner can read: into a new file first, which then replaces the old
/// one.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Writes the file after changes, until `stop`; the last state is written then.
pub(crate) async fn keep(path: PathBuf, shared: Shared, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(DEBOUNCE);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let stopped = tokio::select! {
            () = stop.cancelled() => true,
            _ = ticks.tick() => false,
        };
        if shared.take_dirty() || stopped {
            let (path, shared) = (path.clone(), shared.clone());
            let saved = tokio::task::spawn_blocking(move || save(&path, &shared)).await;
            if let Ok(Err(error)) = saved {
                tracing::error!(%error, "the world was not saved");
            }
        }
        if stopped {
            return;
        }
    }
}
