use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio_util::sync::CancellationToken;

use crate::world::{Shared, World};

/// Delay after which a change is written that no answer waits for.
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

/// Writes the world completely or not at all, and records which changes the file has then.
fn save(path: &Path, shared: &Shared, lasts: Lasts) -> Result<(), StateError> {
    let (bytes, changes) = {
        let world = shared.peek();
        (serde_json::to_vec(&*world), shared.saves().changes())
    };
    let bytes = bytes.map_err(|source| StateError::Format { path: path.to_owned(), source });
    let replaced = bytes.and_then(|bytes| {
        replace(path, &bytes, lasts).map_err(|source| StateError::File { path: path.to_owned(), source })
    });
    shared.saves().record(changes, replaced.is_ok());
    replaced
}

/// Events that a written file survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lasts {
    /// The end of the process, however it ends.
    Process,
    /// A power loss as well.
    PowerLoss,
}

/// Writes the world completely or not at all. It survives a power loss once this returns.
pub(crate) fn save_at_end(path: &Path, shared: &Shared) -> Result<(), StateError> {
    save(path, shared, Lasts::PowerLoss)
}

/// Writes a file that only its owner can read: into a new file first, which then replaces the old
/// one.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, Lasts::PowerLoss)
}

fn replace(path: &Path, bytes: &[u8], lasts: Lasts) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    if lasts == Lasts::Process {
        return fs::rename(&beside, path);
    }
    file.sync_all()?;
    fs::rename(&beside, path)?;
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Writes the file after changes until `stop`: at once if an answer waits for it, otherwise after
/// [`DEBOUNCE`]. The last state is written at the end.
pub(crate) async fn keep(path: PathBuf, shared: Shared, stop: CancellationToken) {
    loop {
        let stopped = tokio::select! {
            () = stop.cancelled() => true,
            () = due(&shared) => false,
        };
        let (to, of) = (path.clone(), shared.clone());
        let saved = tokio::task::spawn_blocking(move || save(&to, &of, Lasts::Process)).await;
        if let Ok(Err(error)) = saved {
            tracing::error!(%error, "the world was not saved");
            tokio::time::sleep(DEBOUNCE).await;
        }
        if stopped {
            return;
        }
    }
}

/// Resolves when a write of the file is due.
async fn due(shared: &Shared) {
    shared.saves().changed().await;
    tokio::select! {
        () = shared.saves().requested() => {}
        () = tokio::time::sleep(DEBOUNCE) => {}
    }
}

/// Answers a request that can change something once the state file has the change.
pub(crate) async fn answer_when_saved(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let answer = next.run(request).await;
    if is_read {
        return answer;
    }
    match shared.saved().await {
        Ok(()) => answer,
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
