//! Execution of runs.
//!
//! A dispatcher owns all live runs and works in turns: it folds new entries, decides, commits,
//! reports events and starts attempts. An executor makes each attempt in its own task and reports
//! its result exactly once. Captured log lines are written, and leases renewed, in the background.
//!
//! Recovery is not a separate mode: acquiring a run appends `RunAcquired`, whose fold turns each
//! running attempt into one with an unknown outcome, and the ordinary decision function handles
//! those.

mod acquire;
mod answer;
mod binding;
mod cancel;
mod claim;
mod dispatcher;
#[expect(clippy::module_inception, reason = "a file is named for the type that it contains")]
mod engine;
mod error;
mod executor;
mod live_run;
mod locks;
mod log_writer;
mod message;
mod prepared;
mod remote_locks;
mod renewal;
mod report;
mod targets;

pub use answer::AnswerResult;
pub use cancel::CancelResult;
pub use engine::{DEFAULT_LEASE, Engine, EngineOptions, ResumePolicy};
pub use error::{EngineError, LockHolder, RemoteLockHolder};
pub use prepared::Prepared;
pub use report::{Ending, GroupReport, Question, RunReport};
pub use targets::{TargetMismatch, UnverifiedTarget};
