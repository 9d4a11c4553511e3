use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use jiff::Timestamp;

use super::identity;
use super::state::{Kube, User};
use super::status::Refusal;
use crate::listen::Peer;

/// Returns the user that made a request, by client certificate or bearer token.
pub(crate) fn user(kube: &Kube, parts: &Parts) -> Result<User, Refusal> {
    let peer = parts.extensions.get::<Peer>().and_then(|peer| peer.0.as_deref());
    let bearer = header_text(parts, header::AUTHORIZATION);
    let bearer = bearer.strip_prefix("Bearer ").or_else(|| bearer.strip_prefix("bearer ")).map(str::trim);
    identity::authenticate(kube, peer, bearer, Timestamp::now())
}

/// Returns a header as text; empty if it is absent or not text.
pub(super) fn header_text(parts: &Parts, name: header::HeaderName) -> &str {
    parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default()
}
