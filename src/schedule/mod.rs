//! Runs jobs by their schedules, in the foreground. At most one run of each job at a time.
//!
//! Jobs are futures of the caller: this module knows only when they are due, not what they do.

mod scheduler;

pub use scheduler::{JobQueue, serve};
