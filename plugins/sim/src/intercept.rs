use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::arm::OperationFault;
use crate::faults::{Fault, RequestInfo};
use crate::listen::Sever;
use crate::mask::{logged_body, masked_query};
use crate::surface::Surface;
use crate::traffic::LoggedRequest;
use crate::world::Shared;
use crate::{kube, login};

/// Maximum size of a request body, in bytes.
const BODY_LIMIT: usize = 16 << 20;

/// Logs and counts a request, and injects the fault that applies to it.
pub(crate) async fn watch(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let surface = surface_of(request.uri().path());
    let mutating = is_mutating(request.method(), request.uri().path(), surface);
    observe(shared, (surface, mutating), request, next).await
}

/// Does the same for the Kubernetes API, where requests of kubelets and controllers do not count as
/// changes.
pub(crate) async fn watch_kubernetes(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let is_background = kube::user(&shared.peek().kube, &parts).is_ok_and(|user| user.is_background());
    let is_dry = parts.uri.query().is_some_and(|query| query.contains("dryRun=All"));
    let mutating = !is_background && !is_dry && is_mutating(&parts.method, parts.uri.path(), Surface::Kubernetes);
    observe(shared, (Surface::Kubernetes, mutating), Request::from_parts(parts, body), next).await
}

/// Runs a request with its fault.
async fn observe(shared: Shared, (surface, mutating): (Surface, bool), request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, BODY_LIMIT).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let (seq, fault) = arrive(&shared, &parts, (surface, mutating), &bytes);
    let (method, path) = (parts.method.to_string(), parts.uri.path().to_owned());
    let mut request = Request::from_parts(parts, Body::from(bytes));
    match &fault {
        Some(Fault::Throttle { retry_after }) => return finish(&shared, seq, throttled(surface, *retry_after)),
        Some(Fault::Error { status }) => return finish(&shared, seq, failed(surface, *status)),
        Some(Fault::Refuse) => return Sever.into_response(),
        Some(Fault::HangBefore) => shared.paused_requests().pause(seq, &method, &path, false).await,
        Some(Fault::Slow { ms }) => tokio::time::sleep(Duration::from_millis(*ms)).await,
        Some(Fault::OperationSlow { factor }) => {
            request.extensions_mut().insert(OperationFault { slow: Some(*factor), fails: None });
        }
        Some(Fault::OperationFailed { code }) => {
            request.extensions_mut().insert(OperationFault { slow: None, fails: Some(code.clone()) });
        }
        Some(Fault::ErrorAfter { .. } | Fault::LostReply | Fault::HangAfter) | None => {}
    }
    let response = next.run(request).await;
    match fault {
        Some(Fault::LostReply) => Sever.into_response(),
        Some(Fault::ErrorAfter { status }) => finish(&shared, seq, failed(surface, status)),
        Some(Fault::HangAfter) => {
            shared.paused_requests().pause(seq, &method, &path, true).await;
            finish(&shared, seq, response)
        }
        _ => finish(&shared, seq, response),
    }
}

/// Counts and logs a request before it runs, and draws its fault.
fn arrive(
    shared: &Shared,
    parts: &axum::http::request::Parts,
    (surface, mutating): (Surface, bool),
    bytes: &Bytes,
) -> (u64, Option<Fault>) {
    let path = parts.uri.path();
    let header = |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::to_owned);
    let is_form =
        header(header::CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    let mut world = shared.lock();
    let fault = world.faults.inject(RequestInfo { surface, method: parts.method.as_str(), path, mutating });
    let seq = world.traffic.record(LoggedRequest {
        seq: 0,
        at: Timestamp::now(),
        surface,
        method: parts.method.to_string(),
        path: path.to_owned(),
        query: parts.uri.query().map(masked_query),
        status: None,
        mutating,
        fault: fault.clone(),
        agent: header(header::USER_AGENT),
        body: logged_body(bytes, is_form),
    });
    (seq, fault)
}

/// Records the status of the answer.
fn finish(shared: &Shared, seq: u64, response: Response) -> Response {
    shared.lock().traffic.answered(seq, response.status().as_u16());
    response
}

/// Returns the surface of a path on the main addresses.
fn surface_of(path: &str) -> Surface {
    if path.starts_with("/api/v2") {
        Surface::Tailscale
    } else if login::owns(path) {
        Surface::Login
    } else {
        Surface::Arm
    }
}

/// Last segments of POSTs that only read.
const READING_POSTS: [&str; 3] = ["effectiveroutetable", "exporttemplate", "validate"];

/// API group of the leases, which name holders of locks and no desired state.
const COORDINATION: &str = "/apis/coordination.k8s.io/";

/// True if a request counts as changing something. A lease does not, as a token does not.
fn is_mutating(method: &Method, path: &str, surface: Surface) -> bool {
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    match *method {
        _ if surface == Surface::Kubernetes && path.starts_with(COORDINATION) => false,
        Method::PUT | Method::PATCH | Method::DELETE => true,
        Method::POST => match surface {
            Surface::Login => false,
            Surface::Tailscale => !path.ends_with("/oauth/token") && last != "preview" && last != "validate",
            Surface::Kubernetes => last != "token" && !last.ends_with("reviews"),
            Surface::Arm | Surface::Host => !last.starts_with("list") && !READING_POSTS.contains(&last.as_str()),
        },
        _ => false,
    }
}

/// Returns a 429 in the words of the surface.
fn throttled(surface: Surface, retry_after: u64) -> Response {
    let body = match surface {
        Surface::Tailscale => json!({ "message": "rate limit exceeded" }),
        Surface::Kubernetes => status_body(429, "TooManyRequests", "Too many requests, please try again later."),
        _ => error_body(
            "TooManyRequests",
            "The request is being throttled as the limit has been reached for operation type.",
        ),
    };
    (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, retry_after.to_string())], Json(body)).into_response()
}

/// Returns an error with this status in the words of the surface.
fn failed(surface: Surface, status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let code = match status.as_u16() {
        502 => "BadGateway",
        503 => "ServiceUnavailable",
        504 => "GatewayTimeout",
        409 => "Conflict",
        _ => "InternalServerError",
    };
    let body = match surface {
        Surface::Tailscale => json!({ "message": code }),
        Surface::Kubernetes => {
            status_body(status.as_u16(), code, "an error on the server has prevented the request from succeeding")
        }
        _ => error_body(code, "An error occurred while processing the request."),
    };
    (status, Json(body)).into_response()
}

/// Returns the body of an error of a Kubernetes API server.
fn status_body(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    })
}

fn error_body(code: &str, message: &str) -> Value {
    json!({ "error": { "code": code, "message": message } })
}
