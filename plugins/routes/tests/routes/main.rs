//! The desired entries of a deployment, and the conflicts that are refused.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod action;
mod computed;
mod conflicts;
mod facts;
mod path;
mod scale;
