//! The heart: a run's state is the fold of its entries, and what to do next is a function of that state and the time.
//!
//! Pure: no I/O, no clock, no async. The same [`RunState::apply`] serves the living run and recovery.

mod entry;
mod next;
mod retry;
mod state;

pub use entry::{Answer, Attempt, AttemptMode, AttemptTransition, Entry, Outcome, StoredIn, TimedEntry};
pub use next::{Effect, Failed, after_failure, next};
pub use state::{IllegalEntry, Progress, RunState, StepId, StepState};
