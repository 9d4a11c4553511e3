use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// Fault that the server applies to the next request with a method.
pub(crate) enum ResponseFault {
    /// Responds with status, `Retry-After` and body, without any effect.
    Respond(StatusCode, &'static str, Value),
    /// Applies the request, then breaks the response off.
    LoseResponse,
}

/// The server's state, and the requests that it received.
#[derive(Default)]
pub(crate) struct ApiState {
    pub(crate) requests: Vec<String>,
    pub(crate) bodies: Vec<Value>,
    pub(crate) tokens: usize,
    /// Lifetime of the tokens, in seconds.
    pub(crate) token_lifetime: u64,
    pub(crate) keys: Vec<Value>,
    pub(crate) lists_keys: bool,
    pub(crate) devices: Vec<Value>,
    pub(crate) advertised: Vec<String>,
    pub(crate) enabled: Vec<String>,
    pub(crate) faults: VecDeque<(Method, ResponseFault)>,
}

impl ApiState {
    pub(crate) fn count(&self, request: &str) -> usize {
        self.requests.iter().filter(|r| r.as_str() == request).count()
    }
}

/// A server on loopback that implements the API's documented subset.
#[derive(Clone)]
pub(crate) struct FakeTailscaleApi {
    state: Arc<Mutex<ApiState>>,
}

impl FakeTailscaleApi {
    pub(crate) async fn start() -> (Self, String) {
        let state = ApiState { token_lifetime: 3600, lists_keys: true, ..ApiState::default() };
        let fake = Self { state: Arc::new(Mutex::new(state)) };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let endpoint = format!("http://{}", listener.local_addr().expect("address"));
        let router = Router::new().fallback(serve).with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (fake, endpoint)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, ApiState> {
        self.state.lock().expect("no test panics while it holds the state")
    }
}

async fn serve(State(fake): State<FakeTailscaleApi>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().trim_start_matches("/api/v2").to_owned();
    let body = axum::body::to_bytes(body, 65536).await.expect("body");
    let mut state = fake.state();
    state.requests.push(format!("{} {path}", parts.method));
    if path == "/oauth/token" {
        return token(&mut state);
    }
    let bearer = parts.headers.get("authorization").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    if bearer != format!("Bearer access-token-{}", state.tokens) {
        return (StatusCode::UNAUTHORIZED, axum::Json(json!({"message": "API token invalid"}))).into_response();
    }
    let fault = match state.faults.front() {
        Some((method, _)) if *method == parts.method => state.faults.pop_front(),
        _ => None,
    };
    match fault {
        Some((_, ResponseFault::Respond(status, retry_after, body))) => {
            (status, [("retry-after", retry_after)], axum::Json(body)).into_response()
        }
        Some((_, ResponseFault::LoseResponse)) => {
            drop(respond(&mut state, &parts.method, &path, &body));
            // The head was sent; the body breaks off.
            let broken = axum::body::Body::from_stream(futures::stream::once(async {
                Err::<Bytes, _>(std::io::Error::other("connection lost"))
            }));
            Response::new(broken)
        }
        None => respond(&mut state, &parts.method, &path, &body),
    }
}

fn token(state: &mut ApiState) -> Response {
    state.tokens += 1;
    let token = format!("access-token-{}", state.tokens);
    axum::Json(json!({"access_token": token, "token_type": "Bearer", "expires_in": state.token_lifetime}))
        .into_response()
}

fn respond(state: &mut ApiState, method: &Method, path: &str, body: &[u8]) -> Response {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    match (method.as_str(), parts.as_slice()) {
        ("GET", ["tailnet", "-", "keys"]) if !state.lists_keys => {
            (StatusCode::NOT_IMPLEMENTED, axum::Json(json!({"message": "no"}))).into_response()
        }
        ("GET", ["tailnet", "-", "keys"]) => {
            let ids: Vec<_> = state.keys.iter().map(|key| json!({"id": key["id"]})).collect();
            axum::Json(json!({ "keys": ids })).into_response()
        }
        ("GET", ["tailnet", "-", "keys", id]) => found(state.keys.iter().find(|key| key["id"] == **id)),
        ("DELETE", ["tailnet", "-", "keys", id]) => {
            state.keys.retain(|key| key["id"] != **id);
            StatusCode::OK.into_response()
        }
        ("POST", ["tailnet", "-", "keys"]) => mint(state, body),
        ("GET", ["tailnet", "-", "devices"]) => axum::Json(json!({"devices": state.devices})).into_response(),
        ("GET", ["device", id]) => found(state.devices.iter().find(|device| device["nodeId"] == **id)),
        ("GET", ["device", _, "routes"]) => routes(state),
        ("POST", ["device", _, "routes"]) => {
            state.enabled = serde_json::from_value(body["routes"].clone()).expect("routes");
            state.bodies.push(body);
            routes(state)
        }
        _ => found(None),
    }
}

fn mint(state: &mut ApiState, body: Value) -> Response {
    let id = format!("k{}", state.requests.len());
    let mut key = json!({"id": id, "description": body["description"]});
    state.keys.push(key.clone());
    state.bodies.push(body);
    key["key"] = json!(format!("tskey-auth-{id}-value"));
    axum::Json(key).into_response()
}

fn routes(state: &ApiState) -> Response {
    axum::Json(json!({"advertisedRoutes": state.advertised, "enabledRoutes": state.enabled})).into_response()
}

fn found(object: Option<&Value>) -> Response {
    match object {
        Some(object) => axum::Json(object.clone()).into_response(),
        None => (StatusCode::NOT_FOUND, axum::Json(json!({"message": "not found"}))).into_response(),
    }
}
