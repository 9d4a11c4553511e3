use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::authorization::authorize_in;
use super::error::TailnetApiError;
use crate::Shared;
use crate::tailnet::Policy;

/// Media type of JSON with comments and trailing commas.
const HUJSON: &str = "application/hujson";

/// Answers `GET /tailnet/{tailnet}/acl`: JSON, or the text as it was set if the client accepts
/// `HuJSON`.
pub(super) async fn read(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, TailnetApiError> {
    let tailnet = &shared.lock().tailnet;
    authorize_in(tailnet, &name, &headers, "policy_file:read")?;
    answer(&tailnet.policy, &headers)
}

/// Answers `POST /tailnet/{tailnet}/acl`, under the condition of `If-Match` if it is present.
pub(super) async fn write(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Response, TailnetApiError> {
    let tailnet = &mut shared.lock().tailnet;
    authorize_in(tailnet, &name, &headers, "policy_file")?;
    if !matches(&tailnet.policy, &headers) {
        return Err(TailnetApiError::new(StatusCode::PRECONDITION_FAILED, "precondition failed, invalid old hash"));
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let policy = Policy { text, touched: true };
    let parsed = policy.json().map_err(|error| TailnetApiError::bad_request(error.to_string()))?;
    if !parsed.is_object() {
        return Err(TailnetApiError::bad_request("policy must be an object"));
    }
    tailnet.policy = policy;
    answer(&tailnet.policy, &headers)
}

/// True if the condition of `If-Match` holds.
fn matches(policy: &Policy, headers: &HeaderMap) -> bool {
    let Some(wanted) = headers.get(header::IF_MATCH).and_then(|value| value.to_str().ok()) else { return true };
    match wanted.trim_matches('"') {
        "ts-default" => !policy.touched,
        hash => policy.etag().trim_matches('"') == hash,
    }
}

fn answer(policy: &Policy, headers: &HeaderMap) -> Result<Response, TailnetApiError> {
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let etag = [(header::ETAG, policy.etag())];
    if accepts.contains(HUJSON) {
        return Ok((etag, [(header::CONTENT_TYPE, HUJSON)], policy.text.clone()).into_response());
    }
    let json =
        policy.json().map_err(|error| TailnetApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok((etag, Json(json)).into_response())
}
