use std::collections::BTreeMap;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::arm::access;
use crate::arm::dispatch::answer;
use crate::arm::error::ArmError;
use crate::arm::request::{ArmCall, ArmReply, OperationFault};
use crate::arm::settle::settle;
use crate::arm::version::as_asked;
use crate::listen::Scheme;
use crate::login;
use crate::world::Shared;

/// Maximum size of a request, in bytes: ARM refuses bodies over 4 MB.
const BODY_LIMIT: usize = 4 << 20;

/// Answers every request that no other router of the world takes.
pub(crate) async fn handle(
    State(shared): State<Shared>,
    Extension(scheme): Extension<Scheme>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let fault = parts.extensions.get::<OperationFault>().cloned().unwrap_or_default();
    let Ok(bytes) = axum::body::to_bytes(body, BODY_LIMIT).await else {
        return respond(&parts.method, &parts.headers, too_large().into());
    };
    let reply = read(&parts.method, &parts.uri, &parts.headers, scheme, &bytes)
        .map(|call| ArmCall { fault, ..call })
        .and_then(|call| {
            let mut world = shared.lock();
            login::authenticate(&world.arm, &parts.headers, call.now)?;
            access::check(&world.arm, &call)?;
            settle(&mut world.arm, call.now);
            let answer = answer(&mut world.arm, &call);
            settle(&mut world.arm, call.now);
            shared.announce(&mut world);
            answer.map(|reply| as_asked(&call, reply))
        });
    respond(&parts.method, &parts.headers, reply.unwrap_or_else(ArmReply::from))
}

/// Performs a request of another party, without faults, counters and authentication.
///
/// Returns the status and the body of the answer.
pub(crate) fn third_party(shared: &Shared, method: &str, target: &str, body: Option<Value>) -> (u16, Option<Value>) {
    let uri: Uri = target.parse().unwrap_or_default();
    let method = Method::from_bytes(method.as_bytes()).unwrap_or_default();
    let reply = read(&method, &uri, &HeaderMap::new(), Scheme::Http, &[]).and_then(|call| {
        let call = ArmCall { body, ..call };
        let mut world = shared.lock();
        let answer = answer(&mut world.arm, &call);
        settle(&mut world.arm, call.now);
        shared.announce(&mut world);
        answer
    });
    let reply = reply.unwrap_or_else(ArmReply::from);
    (reply.status, reply.body)
}

impl From<ArmError> for ArmReply {
    fn from(error: ArmError) -> Self {
        let mut reply = ArmReply::json(error.status, error.body());
        if error.gateway {
            reply = reply.with_header("x-ms-failure-cause", "gateway");
        }
        reply.headers.extend(error.headers);
        reply
    }
}

/// Returns the 413 for a body over the limit.
fn too_large() -> ArmError {
    ArmError::gateway(413, "RequestContentTooLarge", "The request content size exceeds the maximum size of 4 MB.")
}

/// Decodes a request.
fn read(method: &Method, uri: &Uri, headers: &HeaderMap, scheme: Scheme, bytes: &[u8]) -> Result<ArmCall, ArmError> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = if bytes.iter().all(u8::is_ascii_whitespace) {
        None
    } else {
        Some(serde_json::from_slice(bytes).map_err(|error| {
            let message = format!("The request content was invalid and could not be deserialized: '{error}'.");
            ArmError::gateway(400, "InvalidRequestContent", message)
        })?)
    };
    let base = format!("{scheme}://{}", text(header::HOST).unwrap_or_else(|| "localhost".to_owned()));
    Ok(ArmCall {
        method: method.as_str().to_owned(),
        segments: segments(uri.path()),
        query: query(uri.query().unwrap_or_default()),
        if_match: text(header::IF_MATCH),
        if_none_match: text(header::IF_NONE_MATCH),
        body,
        url: format!("{base}{uri}"),
        base,
        fault: OperationFault::default(),
        now: Timestamp::now(),
    })
}

/// Splits a path into its percent-decoded segments.
fn segments(path: &str) -> Vec<String> {
    path.split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect()
}

/// Returns the query parameters by lower-case name; the last of equal names applies.
fn query(text: &str) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(text.as_bytes())
        .map(|(key, value)| (key.to_ascii_lowercase(), value.into_owned()))
        .collect()
}

/// Builds the response with the headers that every answer of ARM has.
fn respond(method: &Method, request: &HeaderMap, reply: ArmReply) -> Response {
    let body = reply.body.as_ref().map(Value::to_string).unwrap_or_default();
    let has_body = !body.is_empty();
    let mut response =
        Response::new(if method == Method::HEAD { Body::empty() } else { Body::from(Bytes::from(body)) });
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if has_body {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    }
    for (name, value) in FIXED_HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let (remaining, left) = match *method {
        Method::GET | Method::HEAD => ("x-ms-ratelimit-remaining-subscription-global-reads", "16499"),
        Method::DELETE => ("x-ms-ratelimit-remaining-subscription-global-deletes", "11999"),
        _ => ("x-ms-ratelimit-remaining-subscription-global-writes", "11999"),
    };
    headers.insert(HeaderName::from_static(remaining), HeaderValue::from_static(left));
    identify(headers, request);
    for (name, value) in reply.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(&value)) {
            headers.insert(name, value);
        }
    }
    response
}

/// Headers with the same value in every answer, as recorded.
const FIXED_HEADERS: [(&str, &str); 5] = [
    ("cache-control", "no-cache"),
    ("pragma", "no-cache"),
    ("expires", "-1"),
    ("strict-transport-security", "max-age=31536000; includeSubDomains"),
    ("x-content-type-options", "nosniff"),
];

/// Adds the ids of the request, and the client's own if it asks for it.
fn identify(headers: &mut HeaderMap, request: &HeaderMap) {
    let id = crate::arm::store::uuid(&rand::random::<[u8; 16]>());
    let routing = format!("CANADACENTRAL:{}:{id}", Timestamp::now().strftime("%Y%m%dT%H%M%SZ"));
    let correlation = request.get("x-ms-correlation-request-id").and_then(|value| value.to_str().ok()).unwrap_or(&id);
    for (name, value) in [
        ("x-ms-request-id", id.as_str()),
        ("x-ms-correlation-request-id", correlation),
        ("x-ms-routing-request-id", routing.as_str()),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    let wanted = request
        .get("x-ms-return-client-request-id")
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
    if let (true, Some(client)) = (wanted, request.get("x-ms-client-request-id")) {
        headers.insert(HeaderName::from_static("x-ms-client-request-id"), client.clone());
    }
}
