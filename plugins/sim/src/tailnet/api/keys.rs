use std::collections::BTreeSet;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::authorization::authorize_in;
use super::devices::time;
use super::error::{TailnetApiError, body};
use crate::Shared;
use crate::tailnet::{Key, Tailnet, Token};

/// Maximum and default lifetime of a key, in seconds: 90 days.
const MAX_EXPIRY_SECONDS: i64 = 7_776_000;

/// Answers `GET /tailnet/{tailnet}/keys` with ids only.
pub(super) async fn list(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, TailnetApiError> {
    let tailnet = &shared.lock().tailnet;
    authorize_in(tailnet, &name, &headers, "auth_keys:read")?;
    let keys = tailnet.keys.values().filter(|key| key.valid()).map(|key| json!({"id": key.id}));
    Ok(Json(json!({"keys": keys.collect::<Vec<_>>()})))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateKey {
    key_type: Option<String>,
    #[serde(default)]
    description: String,
    expiry_seconds: Option<i64>,
    capabilities: Option<Capabilities>,
}

#[derive(Deserialize)]
struct Capabilities {
    devices: Option<Devices>,
}

#[derive(Deserialize)]
struct Devices {
    #[serde(default)]
    create: Create,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Create {
    reusable: bool,
    ephemeral: bool,
    preauthorized: bool,
    tags: Option<Vec<String>>,
}

/// Answers `POST /tailnet/{tailnet}/keys`: the only answer that carries the key.
pub(super) async fn create(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Json<Value>, TailnetApiError> {
    let tailnet = &mut shared.lock().tailnet;
    let token = authorize_in(tailnet, &name, &headers, "auth_keys")?.clone();
    let key = requested_key(tailnet, &token, body(&bytes)?)?;
    let key = tailnet.mint_key(key);
    let mut answer = shown(key);
    answer["key"] = key.value.clone().into();
    Ok(Json(answer))
}

/// Returns the requested key without id and secret.
fn requested_key(tailnet: &Tailnet, token: &Token, request: CreateKey) -> Result<Key, TailnetApiError> {
    if request.key_type.as_deref().is_some_and(|kind| kind != "auth") {
        return Err(TailnetApiError::bad_request("only keys of type auth can be created"));
    }
    let devices = request.capabilities.and_then(|capabilities| capabilities.devices);
    let create = devices.ok_or_else(|| TailnetApiError::bad_request("capabilities.devices is required"))?.create;
    let tags = create.tags.unwrap_or_default();
    check_tags(tailnet, token, &tags)?;
    check_description(&request.description)?;
    let expiry = request.expiry_seconds.filter(|seconds| *seconds != 0).unwrap_or(MAX_EXPIRY_SECONDS);
    if !(1..=MAX_EXPIRY_SECONDS).contains(&expiry) {
        return Err(TailnetApiError::bad_request(format!("expirySeconds must be between 1 and {MAX_EXPIRY_SECONDS}")));
    }
    let created = Timestamp::now();
    Ok(Key {
        id: String::new(),
        value: String::new(),
        description: request.description,
        created,
        expires: created + SignedDuration::from_secs(expiry),
        reusable: create.reusable,
        ephemeral: create.ephemeral,
        preauthorized: create.preauthorized,
        tags: tags.into_iter().collect::<BTreeSet<_>>(),
        used: None,
        revoked: None,
    })
}

/// Checks the tags of a key. Keys of an OAuth client belong to the tailnet, so only tags can own
/// their machines.
fn check_tags(tailnet: &Tailnet, token: &Token, tags: &[String]) -> Result<(), TailnetApiError> {
    if token.client.is_some() && tags.is_empty() {
        return Err(TailnetApiError::bad_request("tailnet-owned auth key must have tags set"));
    }
    let permitted = token.client.is_none() || tailnet.policy.may_give(&token.tags, tags);
    if !permitted || !tags.iter().all(|tag| tailnet.policy.defines(tag)) {
        let message = format!("requested tags [{}] are invalid or not permitted", tags.join(" "));
        return Err(TailnetApiError::bad_request(message));
    }
    Ok(())
}

/// Checks the length and the characters of a description.
fn check_description(description: &str) -> Result<(), TailnetApiError> {
    if description.chars().count() > 50 {
        return Err(TailnetApiError::bad_request("description must be at most 50 characters"));
    }
    if !description.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == ' ') {
        return Err(TailnetApiError::bad_request("description may only contain letters, digits, hyphens and spaces"));
    }
    Ok(())
}

/// Answers `GET /tailnet/{tailnet}/keys/{id}`, without the secret.
pub(super) async fn read(
    State(shared): State<Shared>,
    Path((name, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Value>, TailnetApiError> {
    let tailnet = &shared.lock().tailnet;
    authorize_in(tailnet, &name, &headers, "auth_keys:read")?;
    Ok(Json(shown(tailnet.keys.get(&id).ok_or_else(|| TailnetApiError::not_found("key"))?)))
}

/// Answers `DELETE /tailnet/{tailnet}/keys/{id}`: the key becomes invalid.
pub(super) async fn delete(
    State(shared): State<Shared>,
    Path((name, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<StatusCode, TailnetApiError> {
    let tailnet = &mut shared.lock().tailnet;
    authorize_in(tailnet, &name, &headers, "auth_keys")?;
    let key = tailnet.keys.get_mut(&id).filter(|key| key.revoked.is_none());
    key.ok_or_else(|| TailnetApiError::not_found("key"))?.revoked = Some(Timestamp::now());
    Ok(StatusCode::OK)
}

/// Returns the JSON of a key without its secret.
fn shown(key: &Key) -> Value {
    let mut shown = json!({
        "id": key.id,
        "keyType": "auth",
        "description": key.description,
        "created": time(key.created),
        "expires": time(key.expires),
        "expirySeconds": key.expires.duration_since(key.created).as_secs(),
        "capabilities": {"devices": {"create": {
            "reusable": key.reusable, "ephemeral": key.ephemeral, "preauthorized": key.preauthorized, "tags": key.tags,
        }}},
        "invalid": !key.valid(),
    });
    if let Some(revoked) = key.revoked {
        shown["revoked"] = time(revoked).into();
    }
    shown
}
