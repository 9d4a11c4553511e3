//! Runs jobs by their schedules, in the foreground. One run of each job at a time.

mod scheduler;

pub use scheduler::{JobQueue, serve};
