use std::collections::BTreeSet;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use ipnet::IpNet;
use jiff::{Timestamp, Unit};
use serde::Deserialize;
use serde_json::{Value, json};

use super::authorization::{authorize, authorize_in};
use super::error::{TailnetApiError, body};
use crate::Shared;
use crate::tailnet::{Device, Tailnet};

type QueryParameters = Query<Vec<(String, String)>>;

/// Answers `GET /tailnet/{tailnet}/devices`. Every parameter other than `fields` is a filter.
pub(super) async fn list(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Query(parameters): QueryParameters,
    headers: HeaderMap,
) -> Result<Json<Value>, TailnetApiError> {
    let tailnet = &shared.lock().tailnet;
    authorize_in(tailnet, &name, &headers, "devices:core:read")?;
    let shown = tailnet.devices.values().map(|device| shown(tailnet, device, all(&parameters)));
    let devices: Vec<Value> = shown.filter(|device| passes(device, &parameters)).collect();
    Ok(Json(json!({"devices": devices})))
}

/// Answers `GET /device/{id}` with the device.
pub(super) async fn read(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Query(parameters): QueryParameters,
    headers: HeaderMap,
) -> Result<Json<Value>, TailnetApiError> {
    let tailnet = &shared.lock().tailnet;
    authorize(tailnet, &headers, "devices:core:read")?;
    Ok(Json(shown(tailnet, found(tailnet, &id)?, all(&parameters))))
}

/// Answers `DELETE /device/{id}`; a device of another tailnet cannot be deleted.
pub(super) async fn delete(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, TailnetApiError> {
    let tailnet = &mut shared.lock().tailnet;
    authorize(tailnet, &headers, "devices:core")?;
    let device = found(tailnet, &id)?;
    if device.external {
        return Err(TailnetApiError::new(StatusCode::NOT_IMPLEMENTED, "cannot delete devices outside of your tailnet"));
    }
    let id = device.id;
    tailnet.devices.remove(&id);
    Ok(StatusCode::OK)
}

/// Answers `GET /device/{id}/routes` with advertised and enabled routes.
pub(super) async fn routes(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, TailnetApiError> {
    let tailnet = &shared.lock().tailnet;
    authorize(tailnet, &headers, "devices:routes:read")?;
    Ok(Json(shown_routes(found(tailnet, &id)?)))
}

#[derive(Deserialize)]
struct Routes {
    routes: Vec<String>,
}

/// Answers `POST /device/{id}/routes`: replaces the whole list of enabled routes.
pub(super) async fn set_routes(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Json<Value>, TailnetApiError> {
    let tailnet = &mut shared.lock().tailnet;
    authorize(tailnet, &headers, "devices:routes")?;
    found(tailnet, &id)?;
    let routes = body::<Routes>(&bytes)?.routes;
    let routes = routes.iter().map(|route| prefix(route)).collect::<Result<BTreeSet<IpNet>, TailnetApiError>>()?;
    let device = found_mut(tailnet, &id)?;
    device.enabled = routes;
    Ok(Json(shown_routes(device)))
}

#[derive(Deserialize)]
struct Authorized {
    authorized: bool,
}

/// Answers `POST /device/{id}/authorized`: sets the flag.
pub(super) async fn set_authorized(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<StatusCode, TailnetApiError> {
    let tailnet = &mut shared.lock().tailnet;
    authorize(tailnet, &headers, "devices:core")?;
    found_mut(tailnet, &id)?.authorized = body::<Authorized>(&bytes)?.authorized;
    Ok(StatusCode::OK)
}

#[derive(Deserialize)]
struct Tags {
    tags: Vec<String>,
}

/// Answers `POST /device/{id}/tags`: replaces the tags.
pub(super) async fn set_tags(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<StatusCode, TailnetApiError> {
    let tailnet = &mut shared.lock().tailnet;
    let held = authorize(tailnet, &headers, "devices:core")?.clone();
    found(tailnet, &id)?;
    let tags = body::<Tags>(&bytes)?.tags;
    let owned = held.client.is_none() || tailnet.policy.may_give(&held.tags, &tags);
    if !owned || !tags.iter().all(|tag| tailnet.policy.defines(tag)) {
        let message = format!("requested tags [{}] are invalid or not permitted", tags.join(" "));
        return Err(TailnetApiError::bad_request(message));
    }
    let device = found_mut(tailnet, &id)?;
    device.tags = tags.into_iter().collect();
    Ok(StatusCode::OK)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyExpiry {
    key_expiry_disabled: bool,
}

/// Answers `POST /device/{id}/key`: sets whether the node key expires.
pub(super) async fn set_key(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<StatusCode, TailnetApiError> {
    let tailnet = &mut shared.lock().tailnet;
    authorize(tailnet, &headers, "devices:core")?;
    found_mut(tailnet, &id)?.key_expiry_disabled = body::<KeyExpiry>(&bytes)?.key_expiry_disabled;
    Ok(StatusCode::OK)
}

/// Returns the device with this id.
///
/// # Errors
/// 404 if there is none.
fn found<'a>(tailnet: &'a Tailnet, id: &str) -> Result<&'a Device, TailnetApiError> {
    tailnet.find(id).ok_or_else(|| TailnetApiError::not_found("device"))
}

fn found_mut<'a>(tailnet: &'a mut Tailnet, id: &str) -> Result<&'a mut Device, TailnetApiError> {
    tailnet.find_mut(id).ok_or_else(|| TailnetApiError::not_found("device"))
}

/// Reads a prefix.
///
/// # Errors
/// 400 if it is not a prefix or has host bits set.
fn prefix(text: &str) -> Result<IpNet, TailnetApiError> {
    let prefix: IpNet =
        text.parse().map_err(|_| TailnetApiError::bad_request(format!("invalid route {text:?}: not a CIDR prefix")))?;
    if prefix.trunc() != prefix {
        let message = format!("invalid route {text:?}: has non-address bits set; expected {}", prefix.trunc());
        return Err(TailnetApiError::bad_request(message));
    }
    Ok(prefix)
}

/// True if the request asks for all fields.
fn all(parameters: &[(String, String)]) -> bool {
    parameters.iter().any(|(name, value)| name == "fields" && value == "all")
}

/// True if the device meets all filters of the request.
fn passes(device: &Value, parameters: &[(String, String)]) -> bool {
    parameters.iter().filter(|(name, _)| name != "fields").all(|(name, wanted)| match device.get(name) {
        Some(Value::Array(items)) => items.iter().any(|item| item.as_str() == Some(wanted)),
        Some(Value::String(text)) => text == wanted,
        Some(Value::Bool(on)) => wanted.parse() == Ok(*on),
        Some(_) | None => false,
    })
}

/// Returns the JSON of a device.
fn shown(tailnet: &Tailnet, device: &Device, all: bool) -> Value {
    let mut shown = json!({
        "addresses": [device.ipv4.to_string(), device.ipv6.to_string()],
        "id": device.id.to_string(),
        "nodeId": device.node_id,
        "user": "owner@example.com",
        "name": format!("{}.{}", device.label, tailnet.dns_suffix),
        "hostname": device.hostname,
        "clientVersion": "1.100.0",
        "updateAvailable": false,
        "os": "linux",
        "created": if device.external { String::new() } else { time(device.created) },
        "connectedToControl": device.online,
        "keyExpiryDisabled": device.key_expiry_disabled,
        "expires": time(device.expires),
        "authorized": device.authorized,
        "isExternal": device.external,
        "isEphemeral": device.ephemeral,
        "machineKey": device.machine_key,
        "nodeKey": device.node_key,
        "blocksIncomingConnections": false,
        "tailnetLockError": "",
        "tailnetLockKey": "",
    });
    if !device.online {
        shown["lastSeen"] = time(device.last_seen).into();
    }
    if !device.tags.is_empty() {
        shown["tags"] = json!(device.tags);
    }
    if all {
        shown["advertisedRoutes"] = json!(device.advertised);
        shown["enabledRoutes"] = json!(device.enabled);
        shown["clientConnectivity"] = json!({
            "endpoints": [], "mappingVariesByDestIP": false, "latency": {},
            "clientSupports": {"hairPinning": false, "ipv6": false, "pcp": false, "pmp": false, "udp": true, "upnp": false},
        });
    }
    shown
}

fn shown_routes(device: &Device) -> Value {
    json!({"advertisedRoutes": device.advertised, "enabledRoutes": device.enabled})
}

/// Formats a time as the service does: in whole seconds.
pub(super) fn time(at: Timestamp) -> String {
    at.round(Unit::Second).unwrap_or(at).to_string()
}
