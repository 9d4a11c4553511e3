//! State of a run: the fold of its entries, and the decision what to do next.
//!
//! Everything here is pure: no I/O, no clock, no async. [`RunState::apply`] serves live and
//! recovered runs alike.

mod entry;
mod next;
mod retry;
mod shared;
mod state;
mod status;
mod step_retry;

pub use entry::{Answer, Attempt, AttemptMode, AttemptTransition, Entry, StoredIn, TimedEntry};
pub use next::{AttemptFailure, Effect, after_failure, next};
pub use shared::Shared;
pub use state::{IllegalEntry, Progress, RunState, StepId, StepState};
pub use status::{ObservedStatus, Outcome, RunStatus, StateName, UnknownStatus};
pub use step_retry::{StepRetry, StepRetryError};
