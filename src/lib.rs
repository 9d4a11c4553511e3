//! stargate's engine as a library: durable, resumable workflows.
//!
//! A workflow's text becomes a [`workflow::Workflow`], checked against the actions and given inputs a [`plan::Plan`]; an
//! [`engine::Engine`] advances runs of it, and everything that happens to a run is an entry of the [`journal`].
//! The library prints nothing, reads no environment and names no provider.
//!
//! Invariants:
//!
//! * A run's state is the fold of its entries ([`run::RunState::apply`]); what to do next is a function of that state and
//!   the time ([`run::next`]). Live and recovered state come from the same function.
//! * An attempt's start is durable before its call. An outcome and everything it unblocks are one transaction, so a chain
//!   of n steps makes n + 1 commits.
//! * Every append is guarded by run, expected sequence number and epoch: of two processes that advance one run, one is
//!   told that it no longer does.
//! * A reporter is told of an entry only after its commit.

pub mod clock;
pub mod engine;
pub mod event;
pub mod id;
pub mod journal;
pub mod plan;
pub mod run;
pub mod schedule;
pub mod workflow;
