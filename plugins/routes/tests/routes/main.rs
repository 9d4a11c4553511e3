//! What the routes of a deployment are, and which facts are refused.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod action;
mod allocation;
mod computed;
mod conflicts;
mod facts;
mod scale;
