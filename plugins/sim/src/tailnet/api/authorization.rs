use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::error::TailnetApiError;
use crate::tailnet::{Tailnet, Token};

/// Returns the token of a request.
///
/// # Errors
/// 401 for an unknown or expired token, 403 if its scopes do not cover `scope`.
pub(super) fn authorize<'a>(
    tailnet: &'a Tailnet,
    headers: &HeaderMap,
    scope: &str,
) -> Result<&'a Token, TailnetApiError> {
    let invalid = || TailnetApiError::new(StatusCode::UNAUTHORIZED, "API token invalid");
    let value = presented(headers).ok_or_else(invalid)?;
    let token = tailnet.tokens.get(&value).ok_or_else(invalid)?;
    if token.expires.is_some_and(|expires| expires <= Timestamp::now()) {
        return Err(invalid());
    }
    if !token.scopes.iter().any(|held| covers(held, scope)) {
        let message = "calling actor does not have enough permissions to perform this function";
        return Err(TailnetApiError::new(StatusCode::FORBIDDEN, message));
    }
    Ok(token)
}

/// Does the same as [`authorize`] for paths that name a tailnet.
///
/// # Errors
/// Those of [`authorize`], and 404 for another tailnet.
pub(super) fn authorize_in<'a>(
    tailnet: &'a Tailnet,
    name: &str,
    headers: &HeaderMap,
    scope: &str,
) -> Result<&'a Token, TailnetApiError> {
    let token = authorize(tailnet, headers, scope)?;
    if name != "-" && name != tailnet.name {
        return Err(TailnetApiError::not_found("tailnet"));
    }
    Ok(token)
}

/// Returns the user name and the password of basic authentication.
pub(super) fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let encoded = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// Returns the token: a bearer token, or the user name of basic authentication.
fn presented(headers: &HeaderMap) -> Option<String> {
    let bearer = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ");
    bearer.map(|token| token.trim().to_owned()).or_else(|| basic(headers).map(|(user, _)| user))
}

/// True if a scope covers another one: `all` covers everything, `all:read` every read, `devices`
/// covers `devices:core:read`, and writing covers reading.
fn covers(held: &str, needed: &str) -> bool {
    let reads = needed.ends_with(":read");
    let prefix = held.strip_suffix(":read").unwrap_or(held);
    let enough = reads || !held.ends_with(":read");
    let within =
        prefix == "all" || needed == prefix || needed.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(':'));
    enough && within
}
