//! Journals that a command has opened. They are closed before the process exits, so that each is
//! one file without a write-ahead log.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use stargate::journal::{self, Journal, JournalError};

use super::{Failure, Settings};

/// Maximum time to close the journals, one of which another process may hold.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Journals that are open.
static OPEN: Mutex<Vec<Arc<dyn Journal>>> = Mutex::new(Vec::new());

/// Opens the journal, after creating it if necessary.
pub(crate) async fn open(path: &Path) -> Result<Arc<dyn Journal>, JournalError> {
    journal::open(path).await.map(remember)
}

/// Opens the journal, or returns `None` if the default one does not exist.
///
/// # Errors
/// A usage failure if a journal that is named does not exist.
pub(crate) async fn open_existing(settings: &Settings) -> Result<Option<Arc<dyn Journal>>, Failure> {
    match journal::open_existing(&settings.journal).await? {
        Some(journal) => Ok(Some(remember(journal))),
        None if settings.journal_is_named => Err(missing(&settings.journal)),
        None => Ok(None),
    }
}

/// Opens the journal if it exists and can be used, for a command that needs it only for a detail.
pub(crate) async fn open_usable(settings: &Settings) -> Option<Arc<dyn Journal>> {
    match journal::open_existing(&settings.journal).await {
        Ok(journal) => journal.map(remember),
        Err(error) => {
            tracing::debug!(%error, "the journal cannot be used");
            None
        }
    }
}

fn missing(path: &Path) -> Failure {
    let hint = "correct `--journal` or STARGATE_JOURNAL; `stargate run workflow NAME` creates a journal";
    Failure::usage(format!("there is no journal {}", path.display()), hint)
}

fn remember(journal: Arc<dyn Journal>) -> Arc<dyn Journal> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&journal));
    journal
}

/// Closes all journals. If that fails or takes too long, the next command that opens them does what
/// is left.
pub(crate) async fn close_all() {
    let journals = std::mem::take(&mut *OPEN.lock().unwrap_or_else(PoisonError::into_inner));
    for journal in journals {
        match tokio::time::timeout(CLOSE_TIMEOUT, journal.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "cannot close the journal"),
            Err(_) => tracing::debug!("the journal was not closed in time"),
        }
    }
}
