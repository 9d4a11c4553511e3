use stargate::{
    clock::{Clock, UnixMillis},
    journal::{Owner, RunRow},
};

use crate::cli::{Failure, runs};

/// From where and when runs are looked at.
pub(super) struct ViewContext {
    here: Owner,
    now: UnixMillis,
}

impl ViewContext {
    pub(super) fn now() -> Result<Self, Failure> {
        let here =
            Owner::current_process().map_err(|error| Failure::internal(format!("identify this process: {error}")))?;
        Ok(Self { here, now: Clock::system().now() })
    }

    /// Who advances a run, if a process that may be living does.
    pub(super) fn live_owner<'a>(&self, row: &'a RunRow) -> Option<&'a Owner> {
        row.live_owner(&self.here, self.now)
    }

    /// How a run stands, in a word.
    pub(super) fn status(&self, row: &RunRow) -> &'static str {
        runs::status(row, &self.here, self.now)
    }
}
