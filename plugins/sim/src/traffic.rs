use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::arm::OperationFault;
use crate::faults::{Arrival, Fault};
use crate::listen::Sever;
use crate::world::{Shared, World};
use crate::{kube, login};

/// Requests that the log keeps: a thousand runs of a workflow.
const LOG_LIMIT: usize = 50_000;

/// Most bytes of a request that are read.
const BODY_LIMIT: usize = 16 << 20;

/// Most bytes of a body that the log keeps.
const LOGGED_BODY: usize = 16 << 10;

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Surface {
    /// Azure Resource Manager.
    Arm,
    /// Entra ID, the instance metadata service and the cloud's description.
    Login,
    /// The Tailscale API.
    Tailscale,
    /// A simulated host.
    Host,
    /// The Kubernetes API. What kubelets and controllers write does not count as changing something.
    Kubernetes,
}

/// What was asked of the world.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    /// By surface.
    pub counters: BTreeMap<Surface, Counters>,
    /// Number of the latest request.
    pub latest: u64,
    /// The latest requests. Not kept when the world is closed.
    #[serde(skip)]
    pub log: VecDeque<LoggedRequest>,
}

/// Requests to one surface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// All.
    pub total: u64,
    /// Those that change something, whether or not they succeed.
    pub mutating: u64,
    /// By method.
    pub methods: BTreeMap<String, u64>,
}

/// A request, with secrets masked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoggedRequest {
    /// 1 for the first.
    pub seq: u64,
    /// When it came.
    pub at: Timestamp,
    /// Where it went.
    pub surface: Surface,
    /// Its method; `WRITE` for a change of a host.
    pub method: String,
    /// Its path; what was changed, for a host.
    pub path: String,
    /// Its query, signatures masked.
    pub query: Option<String>,
    /// Status of the answer; none while there is none, and if the connection closed without one.
    pub status: Option<u16>,
    /// Whether it counts as changing something.
    pub mutating: bool,
    /// The fault that happened to it.
    pub fault: Option<Fault>,
    /// `User-Agent`.
    pub agent: Option<String>,
    /// Its body as JSON, or its size.
    pub body: Option<Value>,
}

impl Traffic {
    fn record(&mut self, request: LoggedRequest) -> u64 {
        self.latest += 1;
        let counters = self.counters.entry(request.surface).or_default();
        counters.total += 1;
        counters.mutating += u64::from(request.mutating);
        *counters.methods.entry(request.method.clone()).or_default() += 1;
        if self.log.len() == LOG_LIMIT {
            self.log.pop_front();
        }
        self.log.push_back(LoggedRequest { seq: self.latest, ..request });
        self.latest
    }

    fn answered(&mut self, seq: u64, status: u16) {
        if let Some(request) = self.log.iter_mut().rev().find(|request| request.seq == seq) {
            request.status = Some(status);
        }
    }

    /// Requests to every surface that change something.
    pub fn mutating(&self) -> u64 {
        self.counters.values().map(|counters| counters.mutating).sum()
    }
}

/// Counts a change that a simulated host made to itself: `what` names it, without secrets.
pub fn host_write(world: &mut World, host: &str, what: &str) {
    let request = LoggedRequest {
        seq: 0,
        at: Timestamp::now(),
        surface: Surface::Host,
        method: "WRITE".to_owned(),
        path: format!("{host}/{what}"),
        query: None,
        status: Some(0),
        mutating: true,
        fault: None,
        agent: None,
        body: None,
    };
    world.traffic.record(request);
}

/// Logs and counts a request, and lets happen to it what the faults say.
pub(crate) async fn watch(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let surface = surface_of(request.uri().path());
    let mutating = is_mutating(request.method(), request.uri().path(), surface);
    observe(shared, (surface, mutating), request, next).await
}

/// The same for the Kubernetes API, where it matters who asks.
pub(crate) async fn watch_kubernetes(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let is_background = kube::user(&shared.peek().kube, &parts).is_ok_and(|user| user.is_background());
    let is_dry = parts.uri.query().is_some_and(|query| query.contains("dryRun=All"));
    let mutating = !is_background && !is_dry && is_mutating(&parts.method, parts.uri.path(), Surface::Kubernetes);
    observe(shared, (Surface::Kubernetes, mutating), Request::from_parts(parts, body), next).await
}

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
        Some(Fault::HangBefore) => shared.holds().hold(seq, &method, &path, false).await,
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
            shared.holds().hold(seq, &method, &path, true).await;
            finish(&shared, seq, response)
        }
        _ => finish(&shared, seq, response),
    }
}

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
    let fault = world.faults.strike(Arrival { surface, method: parts.method.as_str(), path, mutating });
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

fn finish(shared: &Shared, seq: u64, response: Response) -> Response {
    shared.lock().traffic.answered(seq, response.status().as_u16());
    response
}

fn surface_of(path: &str) -> Surface {
    if path.starts_with("/api/v2") {
        Surface::Tailscale
    } else if login::owns(path) {
        Surface::Login
    } else {
        Surface::Arm
    }
}

/// POSTs that only read, in spite of their method.
const READING_POSTS: [&str; 3] = ["effectiveroutetable", "exporttemplate", "validate"];

fn is_mutating(method: &Method, path: &str, surface: Surface) -> bool {
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    match *method {
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

/// What a Kubernetes API server says.
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

/// What a masked value looks like.
const MASK: &str = "***";

/// Names of fields whose values are secret, in lower case.
const SECRET: [&str; 19] = [
    "customdata",
    "userdata",
    "adminpassword",
    "password",
    "passphrase",
    "secret",
    "key",
    "authkey",
    "client_secret",
    "clientsecret",
    "client_assertion",
    "access_token",
    "refresh_token",
    "token",
    "authorization",
    "protectedsettings",
    "privatekey",
    "kubeconfig",
    "stringdata",
];

fn is_secret(name: &str) -> bool {
    SECRET.contains(&name.to_ascii_lowercase().as_str())
}

fn logged_body(bytes: &Bytes, is_form: bool) -> Option<Value> {
    if bytes.is_empty() {
        return None;
    }
    if is_form {
        let pairs = url::form_urlencoded::parse(bytes).map(|(name, value)| {
            let value = if is_secret(&name) { MASK.to_owned() } else { value.into_owned() };
            (name.into_owned(), json!(value))
        });
        return Some(Value::Object(pairs.collect()));
    }
    match serde_json::from_slice::<Value>(bytes) {
        Ok(mut value) if bytes.len() <= LOGGED_BODY => {
            mask(&mut value);
            Some(value)
        }
        _ => Some(json!(format!("{} bytes", bytes.len()))),
    }
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if object.get("kind") == Some(&json!("Secret")) && object.contains_key("data") {
                object.insert("data".to_owned(), json!(MASK));
            }
            for (name, value) in object {
                if is_secret(name) && !value.is_boolean() { *value = json!(MASK) } else { mask(value) }
            }
        }
        Value::Array(array) => array.iter_mut().for_each(mask),
        _ => {}
    }
}

/// Operation URLs are signed: who has one may read what it says.
fn masked_query(query: &str) -> String {
    let pairs: Vec<String> = query
        .split('&')
        .map(|pair| {
            let name = pair.split('=').next().unwrap_or_default();
            if matches!(name, "t" | "c" | "s" | "h" | "sig" | "code") || is_secret(name) {
                format!("{name}={MASK}")
            } else {
                pair.to_owned()
            }
        })
        .collect();
    pairs.join("&")
}
