//! Parts that the clients of all providers share, between the sdk and the providers.
//!
//! * [`CallEffect`] and its classification of a status or a lost response as a
//!   [`FailureKind`](stargate_sdk::FailureKind); [`retry_after`].
//! * [`CallPermit`]: a call that may change something is sent only while the run's lease is in
//!   force.
//! * [`within`]: a call ends at the step's deadline or when the attempt is cancelled.
//! * [`http_client`], [`exchange`], [`read_body`]: no redirects, timeouts, and a limit for each
//!   body.
//! * [`TokenCache`]: one refresh at a time, and a request sent once more after a 401.
//! * [`Prefix`]: an IP network without host bits.
//! * [`PlaceholderText`]: `{{name}}` in a text, filled in one pass; [`SecretText`]: with secrets.
//! * [`ReferenceParameters`] of a secret reference.
//!
//! Waiting for a condition is in the sdk ([`poll_until`], [`Waiter`], [`Backoff`]), because its own
//! [`Ensure`](stargate_sdk::Ensure) waits in the same way; it is exported here as well, so that a
//! provider has one place to look. [`Prefix`] is here and not in the sdk, because only providers
//! that make calls use it: `stargate-routes` reports all prefixes with host bits in one error, with
//! the names of their owners, and therefore reads plain networks.
//!
//! A call, from the request to the result:
//!
//! ```
//! use std::time::Duration;
//!
//! use serde_json::Value;
//! use stargate_client::{
//!     AccessToken, Backoff, CallEffect, MAX_BODY_BYTES, TokenCache, WaitState, exchange, http_client,
//!     poll_until, within,
//! };
//! use stargate_sdk::{ActionContext, ActionError, Secret};
//!
//! struct DoorClient {
//!     http: reqwest::Client,
//!     tokens: TokenCache,
//! }
//!
//! impl DoorClient {
//!     async fn is_open(&self, cx: &ActionContext) -> Result<bool, ActionError> {
//!         let (effect, call) = (CallEffect::ReadOnly, "doors GET /door");
//!         let send = async |token: Secret| {
//!             let request = self.http.get("http://127.0.0.1:9/door").bearer_auth(token.expose());
//!             exchange(effect.permit(cx, call).await?, call, request, MAX_BODY_BYTES).await
//!         };
//!         let response = within(cx, self.tokens.with_token(cx, fetch, send)).await;
//!         let response = response.map_err(|stopped| stopped.into_error(effect, call))??;
//!         if !response.status.is_success() {
//!             let kind = response.failure_kind(effect, None);
//!             return Err(ActionError::new(kind, format!("{call}: {}", response.status)));
//!         }
//!         Ok(response.json::<Value>(effect, call)?["open"] == true)
//!     }
//!
//!     async fn wait_until_open(&self, cx: &ActionContext) -> Result<(), ActionError> {
//!         let read = || async {
//!             let is_open = self.is_open(cx).await?;
//!             Ok(if is_open { WaitState::Ready(()) } else { WaitState::pending("the door is closed") })
//!         };
//!         poll_until(cx, Backoff::default(), read).await
//!     }
//! }
//!
//! async fn fetch() -> Result<AccessToken, ActionError> {
//!     Ok(AccessToken { value: Secret::new("…"), lifetime: Duration::from_hours(1), details: () })
//! }
//!
//! # let client = DoorClient { http: http_client(Vec::new())?, tokens: TokenCache::new() };
//! # let _ = client; // nothing listens at that address
//! # Ok::<(), reqwest::Error>(())
//! ```

mod body;
mod deadline;
mod effect;
mod fenced_body;
mod http_client;
mod parameters;
mod permit;
mod placeholder;
mod prefix;
mod prune_share;
mod retry_after;
mod secret_text;
mod token_cache;
mod transport;

pub use body::{BodyError, MAX_ARM_BODY_BYTES, MAX_BODY_BYTES, RESPONSE_TOO_LARGE, compact, has_few_values, read_body};
pub use deadline::{StopReason, Stopped, within, within_grace};
pub use effect::CallEffect;
pub use fenced_body::{FencedBody, expired, send};
pub use http_client::{
    CONNECT_TIMEOUT, CertificateError, HttpResponse, REQUEST_TIMEOUT, USER_AGENT, exchange, http_client, parse_json,
    read_certificates,
};
pub use parameters::ReferenceParameters;
pub use permit::CallPermit;
pub use placeholder::{PlaceholderText, placeholder};
pub use prefix::{Prefix, PrefixError, check_prefixes};
pub use prune_share::{check_share, whole_share};
pub use retry_after::{MAX_RETRY_AFTER, bounded_retry_after, retry_after};
pub use secret_text::SecretText;
pub use stargate_sdk::{Backoff, WaitState, Waiter, poll_until};
pub use token_cache::{AccessToken, REFRESH_MARGIN, TokenCache};
pub use transport::{MAX_MESSAGE_CHARS, error_chain, excerpt, transport_error, transport_failure_kind};
