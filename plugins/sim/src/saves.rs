use tokio::sync::{Notify, watch};

/// Error for a change that the state file does not contain.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the state file of the simulated world was not written")]
pub(crate) struct Unsaved;

/// Numbers of the changes of a world that its state file contains, and of those that it could not
/// take. One write of the file contains all changes before it, by any number of clients.
#[derive(Debug, Default)]
pub(crate) struct Saves {
    changes: watch::Sender<u64>,
    kept: watch::Sender<Kept>,
    requested: Notify,
}

/// Result of the writes so far.
#[derive(Debug, Clone, Copy, Default)]
struct Kept {
    has_file: bool,
    saved: u64,
    failed: u64,
}

impl Saves {
    /// Counts a change that begins.
    pub(crate) fn count_change(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Returns the number of changes so far. Under the lock of the world, all of them are complete.
    pub(crate) fn changes(&self) -> u64 {
        *self.changes.borrow()
    }

    /// Announces that a state file is written from now on.
    pub(crate) fn open_file(&self) {
        self.kept.send_modify(|kept| kept.has_file = true);
    }

    /// Records a write of the file with the changes up to `number`.
    pub(crate) fn record(&self, number: u64, is_written: bool) {
        self.kept.send_modify(|kept| {
            let last = if is_written { &mut kept.saved } else { &mut kept.failed };
            *last = number.max(*last);
        });
    }

    /// Resolves after a change that the file does not contain.
    pub(crate) async fn changed(&self) {
        let saved = self.kept.borrow().saved;
        // The sender lives as long as `self`.
        drop(self.changes.subscribe().wait_for(|changes| *changes > saved).await);
    }

    /// Resolves when [`Saves::saved`] waits for a write.
    pub(crate) async fn requested(&self) {
        self.requested.notified().await;
    }

    /// Resolves when the file contains every change so far, at once if there is no file.
    ///
    /// # Errors
    /// A write with these changes failed.
    pub(crate) async fn saved(&self) -> Result<(), Unsaved> {
        let wanted = self.changes();
        let mut kept = self.kept.subscribe();
        let is_known = |kept: &Kept| !kept.has_file || kept.saved >= wanted || kept.failed >= wanted;
        if !is_known(&kept.borrow()) {
            self.requested.notify_one();
        }
        let kept = *kept.wait_for(is_known).await.map_err(|_| Unsaved)?;
        if !kept.has_file || kept.saved >= wanted { Ok(()) } else { Err(Unsaved) }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn a_change_is_saved_by_a_write_that_began_after_it() {
        let saves = Saves::default();
        saves.count_change();
        assert!(saves.saved().now_or_never().is_some_and(|saved| saved.is_ok()), "there is no file");
        saves.open_file();
        assert!(saves.saved().now_or_never().is_none());
        let before = saves.changes();
        saves.count_change();
        saves.record(before, true);
        assert!(saves.saved().now_or_never().is_none());
        saves.record(saves.changes(), true);
        assert!(saves.saved().now_or_never().is_some_and(|saved| saved.is_ok()));
    }

    #[test]
    fn a_write_that_fails_is_an_error_until_one_succeeds() {
        let saves = Saves::default();
        saves.open_file();
        saves.count_change();
        saves.record(saves.changes(), false);
        assert!(saves.saved().now_or_never().is_some_and(|saved| saved.is_err()));
        saves.record(saves.changes(), true);
        assert!(saves.saved().now_or_never().is_some_and(|saved| saved.is_ok()));
    }
}
