//! Context in which the status of stored runs is judged.

use stargate::{
    clock::{Clock, UnixMillis},
    journal::{Owner, RunRow},
    run::ObservedStatus,
};

use crate::cli::Failure;

/// Process and time from which the ownership of runs is judged.
pub(super) struct ViewContext {
    here: Owner,
    now: UnixMillis,
}

impl ViewContext {
    /// Returns the context of this process, now.
    ///
    /// # Errors
    ///
    /// An internal failure if the process cannot be identified.
    pub(super) fn now() -> Result<Self, Failure> {
        let here =
            Owner::current_process().map_err(|error| Failure::internal(format!("identify this process: {error}")))?;
        Ok(Self { here, now: Clock::system().now() })
    }

    /// Returns the live owner of a run, if any.
    pub(super) fn live_owner<'a>(&self, row: &'a RunRow) -> Option<&'a Owner> {
        row.live_owner(&self.here, self.now)
    }

    /// Returns the current time for a run that is being executed; `None` for others.
    pub(super) fn running_until(&self, status: ObservedStatus) -> Option<UnixMillis> {
        (status == ObservedStatus::Running).then_some(self.now)
    }

    /// Returns the status of a run as this process observes it: without a live owner, it is
    /// interrupted.
    pub(super) fn status(&self, row: &RunRow) -> ObservedStatus {
        row.observed_status(&self.here, self.now)
    }
}
