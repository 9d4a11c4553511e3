//! The contract between the engine and the actions it runs.
//!
//! A provider crate implements [`Action`] (one call) or [`Resource`] (a desired state: read, compare, change the
//! difference, read back) and adds it to a [`Registry`]. The engine sees only the erased [`DynAction`]. What the actions of
//! a provider have to be allowed is told by [`RequiredPermissions`]; what they need beside that is looked at by a [`Check`].
//!
//! Invariants that every action keeps:
//!
//! * `run` may be called again under the same [`IdempotencyKey`] after a crash; its [`Recovery`] says how the engine leaves
//!   the state "it may or may not have happened".
//! * An error's [`FailureKind`] is chosen where the call is made. When unsure whether a call took effect: `Unknown`.
//! * No secret value is ever part of an input, an output, a checkpoint, a progress line or an error. Secrets travel as
//!   [`SecretRef`] and are resolved at use.

mod action;
mod backoff;
mod check;
mod context;
mod error;
mod permission;
mod redact;
mod registry;
mod resource;
mod secret;
mod skew;
mod wait;

pub use action::{Action, FindResult, Preview, Recovery};
pub use backoff::{Backoff, Delays};
pub use check::{Check, Finding, Status};
pub use context::{ActionContext, AttemptSink, ContextParts, IdempotencyKey};
pub use error::{ActionError, FailureKind};
pub use permission::{Permission, RequiredPermissions};
pub use redact::Redactor;
pub use registry::{DynAction, Registry};
pub use resource::{Difference, Ensure, Resource};
pub use secret::{Secret, SecretRef, SecretRefError, SecretSource, Secrets};
pub use skew::clock_finding;
pub use wait::{WaitState, Waiter, poll_until};
