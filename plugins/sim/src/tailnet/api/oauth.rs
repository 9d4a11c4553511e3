use std::collections::BTreeSet;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use url::form_urlencoded;

use super::authorization::basic;
use crate::Shared;
use crate::tailnet::{OAuthClient, Tailnet};

/// Token request of an OAuth client.
struct OAuthTokenRequest {
    id: String,
    secret: String,
    grant: Option<String>,
    scopes: BTreeSet<String>,
    tags: BTreeSet<String>,
}

/// Answers `POST /oauth/token` for client credentials, as basic authentication or in the form.
pub(super) async fn token(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let request = read(&headers, &body);
    match grant(&mut shared.lock().tailnet, request) {
        Ok(answer) => Json(answer).into_response(),
        Err((status, error, description)) => {
            let body = json!({"error": error, "error_description": description, "message": description});
            (status, Json(body)).into_response()
        }
    }
}

/// Reads a token request.
fn read(headers: &HeaderMap, body: &[u8]) -> OAuthTokenRequest {
    let form: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
    let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let words = |name: &str| field(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let (id, secret) = basic(headers)
        .unwrap_or_else(|| (field("client_id").unwrap_or_default(), field("client_secret").unwrap_or_default()));
    OAuthTokenRequest { id, secret, grant: field("grant_type"), scopes: words("scope"), tags: words("tags") }
}

/// Status, error code and description of a refusal.
type TokenRefusal = (StatusCode, &'static str, &'static str);

/// Issues a token.
fn grant(tailnet: &mut Tailnet, request: OAuthTokenRequest) -> Result<serde_json::Value, TokenRefusal> {
    if request.grant.is_some_and(|grant| grant != "client_credentials") {
        return Err((StatusCode::BAD_REQUEST, "unsupported_grant_type", "grant type not supported"));
    }
    let client = tailnet.clients.get(&request.id).filter(|client| client.secret == request.secret).cloned();
    let client = client.ok_or((StatusCode::UNAUTHORIZED, "invalid_client", "API token invalid"))?;
    let scopes = narrowed(request.scopes, &client)?;
    if !request.tags.is_subset(&client.tags) {
        return Err((StatusCode::BAD_REQUEST, "invalid_request", "requested tags are invalid or not permitted"));
    }
    let tags = if request.tags.is_empty() { client.tags } else { request.tags };
    let scope = scopes.iter().cloned().collect::<Vec<_>>().join(" ");
    let token = tailnet.mint_token(&client.id, scopes, tags);
    Ok(json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600, "scope": scope}))
}

/// Returns the requested scopes, or all scopes of the client.
fn narrowed(asked: BTreeSet<String>, client: &OAuthClient) -> Result<BTreeSet<String>, TokenRefusal> {
    if asked.is_empty() {
        return Ok(client.scopes.clone());
    }
    if client.scopes.contains("all") || asked.is_subset(&client.scopes) {
        return Ok(asked);
    }
    Err((StatusCode::BAD_REQUEST, "invalid_scope", "requested scope is not permitted"))
}
