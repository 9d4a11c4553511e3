//! Engine for durable, resumable workflows.
//!
//! The text of a workflow is read by [`workflow::parse`], checked against the actions of a registry
//! ([`plan::Checked`]) and given inputs ([`plan::Plan`]). An [`engine::Engine`] executes runs of
//! plans. Each fact about a run is an entry of the [`journal`], from which any later process can
//! resume the run.
//!
//! The library prints nothing, does not read the environment and has no actions of its own. Actions
//! implement the traits of `stargate_sdk`.
//!
//! # Guarantees
//!
//! * The state of a run is the fold of its entries ([`run::RunState::apply`]), and the next steps
//!   are a function of that state and the time ([`run::next`]). Live and recovered runs use the
//!   same two functions.
//! * The start of an attempt is durable before the action is called. The result of an attempt and
//!   all that it unblocks are one transaction, so a chain of n steps makes n + 1 commits.
//! * Each append names the run, the epoch of its owner and the expected sequence number. Of two
//!   processes that execute one run, one is fenced: its appends are refused.
//! * The event of an entry is reported after the commit of the entry.
//!
//! # Features
//!
//! | feature | default | content |
//! |---|---|---|
//! | `cli` | yes | the program `stargate` with the providers; the library needs none of it |
//! | `sim` | yes | the commands `stargate sim` and `stargate demo` |
//! | `miette` | with `cli` | [`workflow::Diagnostic`] implements `miette::Diagnostic` |
//! | `testing` | no | the contract suite that each [`journal::Journal`] must pass |
//!
//! # Example
//!
//! `examples/embed.rs`: an action, a workflow, and a run that is interrupted and resumed.
//!
//! ```
#![doc = include_str!("../examples/embed.rs")]
//! ```

pub mod clock;
pub mod engine;
pub mod event;
pub mod id;
pub mod journal;
pub mod plan;
pub mod run;
pub mod schedule;
pub mod workflow;
