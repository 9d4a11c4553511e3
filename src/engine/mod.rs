//! Advances runs: a dispatcher that owns every live state and does turns (fold, decide, commit, tell, dispatch), and an
//! executor that runs each attempt in its own task and answers exactly once. What attempts capture for people is written by
//! a keeper beside them, which holds nobody up.
//!
//! Recovery is not a mode: taking a run over appends `RunAcquired`, whose fold turns every attempt in flight into
//! unknown, and the ordinary decision function goes on.

mod acquire;
mod answer;
mod cancel;
mod dispatcher;
#[expect(clippy::module_inception, reason = "a file is named for the type that it contains")]
mod engine;
mod error;
mod executor;
mod keeper;
mod live;
mod locks;
mod message;
mod prepared;

pub use answer::AnswerResult;
pub use cancel::Cancel;
pub use engine::{Ending, Engine, Finished, Options, Question};
pub use error::{EngineError, LockHolder};
pub use prepared::Prepared;
