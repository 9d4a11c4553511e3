//! Contract between the engine and the actions that it runs.
//!
//! A provider crate implements [`Action`] (one operation) or [`Resource`] (a desired state: read,
//! compare, write the differences, read again) and adds it to a [`Registry`]. The engine sees only
//! the erased [`DynAction`]. The permissions that an action requires are declared in
//! [`RequiredPermissions`]; other preconditions of the environment are tested by a [`Check`].
//! [`poll_until`] waits for a condition. A [`Target`] identifies the external system that actions
//! work on, and a [`LockService`] keeps locks in it.
//!
//! Invariants that each action keeps:
//!
//! * `run` can be called again under the same [`IdempotencyKey`] after a crash; its [`Recovery`] is
//!   the way in which the engine handles an unknown outcome.
//! * An error's [`FailureKind`] is chosen where the call is made. If it is unclear whether a call
//!   took effect, it is `Unknown`.
//! * An input, output, checkpoint, progress message or error never contains a secret value. Secrets
//!   travel as [`SecretRef`] and are resolved at use.
//!
//! An action, registered and run outside the engine:
//!
//! ```
//! use std::sync::Arc;
//!
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//! use serde_json::json;
//! use stargate_sdk::{
//!     Action, ActionContext, ActionError, Nature, Recovery, Registry, RequiredPermissions, Secrets,
//! };
//!
//! struct GreetingWrite;
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct GreetingInput {
//!     name: String,
//! }
//!
//! #[derive(Serialize, Deserialize, JsonSchema)]
//! struct GreetingOutput {
//!     text: String,
//! }
//!
//! impl RequiredPermissions for GreetingWrite {}
//!
//! impl Action for GreetingWrite {
//!     type Input = GreetingInput;
//!     type Output = GreetingOutput;
//!     const NAME: &'static str = "example.greeting.write";
//!     const VERSION: u32 = 1;
//!     const NATURE: Nature = Nature::Observe;
//!     const RECOVERY: Recovery = Recovery::Repeat;
//!     const SUMMARY: &'static str = "Writes a greeting.";
//!
//!     async fn run(
//!         &self,
//!         cx: &ActionContext,
//!         input: &GreetingInput,
//!     ) -> Result<GreetingOutput, ActionError> {
//!         if input.name.is_empty() {
//!             return Err(ActionError::permanent("the name is empty").with_hint("set `name`"));
//!         }
//!         cx.progress(format!("writing to {}", input.name));
//!         Ok(GreetingOutput { text: format!("Hello, {}.", input.name) })
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), ActionError> {
//! let mut registry = Registry::default();
//! registry.add(GreetingWrite);
//!
//! let action = registry.find("example.greeting.write").expect("it was added");
//! let cx = ActionContext::detached("greet", Arc::new(Secrets::default()));
//! let output = action.run(&cx, json!({ "name": "Ada" })).await?;
//! assert_eq!(output, json!({ "text": "Hello, Ada." }));
//! # Ok(())
//! # }
//! ```

mod action;
mod backoff;
mod bounded_read;
mod byte_count;
mod check;
mod circuits;
mod context;
mod error;
mod lease;
mod local_command;
mod lock_service;
mod permission;
mod redact;
mod registry;
mod resource;
mod secret;
mod skew;
mod target;
mod wait;

pub use action::{Action, FindResult, Nature, Preview, Recovery};
pub use backoff::{Backoff, Delays};
pub use bounded_read::{read_file_up_to_limit, read_up_to_limit, read_up_to_limit_blocking};
pub use byte_count::ByteCount;
pub use check::{Check, CheckStatus, Finding};
pub use circuits::{Circuits, NOT_TRIED_AGAIN};
pub use context::{ActionContext, AttemptSink, ContextParts, IdempotencyKey};
pub use error::{ActionError, FailureKind, LEASE_EXPIRED};
pub use lease::{BootTime, LeaseLost, RunLease};
pub use local_command::{LocalCommandError, LocalOutput, run_local_command};
pub use lock_service::{LockAttempt, LockService, RemoteHolder, RemoteLockRequest};
pub use permission::{Permission, RequiredPermissions};
pub use redact::{HIDDEN_IN_OUTPUT, Redactor};
pub use registry::{DynAction, Registry};
pub use resource::{Difference, Ensure, Resource};
pub use secret::{MAX_SECRET_BYTES, Secret, SecretRef, SecretRefError, SecretSource, Secrets};
pub use skew::clock_finding;
pub use target::{Target, TargetId};
pub use wait::{WaitState, Waiter, poll_until};
