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

/// What the server is told to do with one request to a path, once.
pub(crate) enum Fault {
    /// Answer like this, without doing anything.
    Answer(StatusCode, &'static str, Value),
    /// Do it, then close the connection without an answer.
    LoseReply,
}

/// The server's state and what it was asked.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) requests: Vec<String>,
    pub(crate) bodies: Vec<Value>,
    pub(crate) tokens: usize,
    pub(crate) token_life: u64,
    pub(crate) keys: Vec<Value>,
    pub(crate) lists_keys: bool,
    pub(crate) devices: Vec<Value>,
    pub(crate) advertised: Vec<String>,
    pub(crate) enabled: Vec<String>,
    pub(crate) faults: VecDeque<(Method, Fault)>,
}

impl World {
    pub(crate) fn count(&self, request: &str) -> usize {
        self.requests.iter().filter(|r| r.as_str() == request).count()
    }
}

/// A server on loopback.
#[derive(Clone)]
pub(crate) struct Fake {
    world: Arc<Mutex<World>>,
}

impl Fake {
    pub(crate) async fn start() -> (Self, String) {
        let world = World { token_life: 3600, lists_keys: true, ..World::default() };
        let fake = Self { world: Arc::new(Mutex::new(world)) };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let endpoint = format!("http://{}", listener.local_addr().expect("address"));
        let router = Router::new().fallback(serve).with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (fake, endpoint)
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no test panics while it holds the world")
    }
}

async fn serve(State(fake): State<Fake>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().trim_start_matches("/api/v2").to_owned();
    let body = axum::body::to_bytes(body, 65536).await.expect("body");
    let mut world = fake.world();
    world.requests.push(format!("{} {path}", parts.method));
    if path == "/oauth/token" {
        return token(&mut world);
    }
    let bearer = parts.headers.get("authorization").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    if bearer != format!("Bearer access-token-{}", world.tokens) {
        return (StatusCode::UNAUTHORIZED, axum::Json(json!({"message": "API token invalid"}))).into_response();
    }
    let fault = match world.faults.front() {
        Some((method, _)) if *method == parts.method => world.faults.pop_front(),
        _ => None,
    };
    match fault {
        Some((_, Fault::Answer(status, retry_after, answer))) => {
            (status, [("retry-after", retry_after)], axum::Json(answer)).into_response()
        }
        Some((_, Fault::LoseReply)) => {
            drop(answer(&mut world, &parts.method, &path, &body));
            // A body that breaks off: the head was sent, the rest never comes.
            let broken = axum::body::Body::from_stream(futures::stream::once(async {
                Err::<Bytes, _>(std::io::Error::other("connection lost"))
            }));
            Response::new(broken)
        }
        None => answer(&mut world, &parts.method, &path, &body),
    }
}

fn token(world: &mut World) -> Response {
    world.tokens += 1;
    let token = format!("access-token-{}", world.tokens);
    axum::Json(json!({"access_token": token, "token_type": "Bearer", "expires_in": world.token_life})).into_response()
}

fn answer(world: &mut World, method: &Method, path: &str, body: &[u8]) -> Response {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    match (method.as_str(), parts.as_slice()) {
        ("GET", ["tailnet", "-", "keys"]) if !world.lists_keys => {
            (StatusCode::NOT_IMPLEMENTED, axum::Json(json!({"message": "no"}))).into_response()
        }
        ("GET", ["tailnet", "-", "keys"]) => {
            let ids: Vec<_> = world.keys.iter().map(|key| json!({"id": key["id"]})).collect();
            axum::Json(json!({ "keys": ids })).into_response()
        }
        ("GET", ["tailnet", "-", "keys", id]) => found(world.keys.iter().find(|key| key["id"] == **id)),
        ("DELETE", ["tailnet", "-", "keys", id]) => {
            world.keys.retain(|key| key["id"] != **id);
            StatusCode::OK.into_response()
        }
        ("POST", ["tailnet", "-", "keys"]) => mint(world, body),
        ("GET", ["tailnet", "-", "devices"]) => axum::Json(json!({"devices": world.devices})).into_response(),
        ("GET", ["device", id]) => found(world.devices.iter().find(|device| device["nodeId"] == **id)),
        ("GET", ["device", _, "routes"]) => routes(world),
        ("POST", ["device", _, "routes"]) => {
            world.enabled = serde_json::from_value(body["routes"].clone()).expect("routes");
            world.bodies.push(body);
            routes(world)
        }
        _ => found(None),
    }
}

fn mint(world: &mut World, body: Value) -> Response {
    let id = format!("k{}", world.requests.len());
    let mut key = json!({"id": id, "description": body["description"]});
    world.keys.push(key.clone());
    world.bodies.push(body);
    key["key"] = json!(format!("tskey-auth-{id}-value"));
    axum::Json(key).into_response()
}

fn routes(world: &World) -> Response {
    axum::Json(json!({"advertisedRoutes": world.advertised, "enabledRoutes": world.enabled})).into_response()
}

fn found(object: Option<&Value>) -> Response {
    match object {
        Some(object) => axum::Json(object.clone()).into_response(),
        None => (StatusCode::NOT_FOUND, axum::Json(json!({"message": "not found"}))).into_response(),
    }
}
