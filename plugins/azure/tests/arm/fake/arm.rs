use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, Uri},
    response::Response,
};
use serde_json::{Value, json};

const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000000";

/// Id of resource group `g`.
pub(crate) fn group_id() -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/g")
}

/// Id of a resource in `g`, such as `Network/routeTables/t`.
pub(crate) fn id(rest: &str) -> String {
    format!("{}/providers/Microsoft.{rest}", group_id())
}

/// Protocol with which the fake answers a PUT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OperationStyle {
    Sync,
    Status,
    Location,
    Resource,
}

/// Request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct RecordedRequest {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl RecordedRequest {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn is(&self, method: &str, end: &str) -> bool {
        self.method == method && self.path.to_lowercase().ends_with(&end.to_lowercase())
    }
}

/// One response of the fake.
#[derive(Debug, Clone)]
pub(crate) struct FakeResponse {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Value,
}

impl FakeResponse {
    pub(crate) fn new(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body }
    }

    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        Self::new(status, json!({"error": {"code": code, "message": message}}))
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

type ResponseHook = Box<dyn FnMut(&RecordedRequest) -> Option<FakeResponse> + Send>;

struct FakeState {
    base: String,
    style: OperationStyle,
    /// Number of polls for which an operation is in progress.
    polls: usize,
    left: usize,
    pending: Option<String>,
    resources: BTreeMap<String, (u64, Value)>,
    lists: BTreeMap<String, Vec<Value>>,
    seen: Vec<RecordedRequest>,
    hook: ResponseHook,
    overlapping: bool,
}

/// Small ARM: resources by id, each with its `ETag`, and one style of long-running operation at a
/// time.
#[derive(Clone)]
pub(crate) struct FakeArm(Arc<Mutex<FakeState>>);

impl FakeArm {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let arm = Self(Arc::new(Mutex::new(FakeState {
            base,
            style: OperationStyle::Sync,
            polls: 2,
            left: 0,
            pending: None,
            resources: BTreeMap::new(),
            lists: BTreeMap::new(),
            seen: Vec::new(),
            hook: Box::new(|_| None),
            overlapping: false,
        })));
        let app = axum::Router::new().fallback(serve).with_state(arm.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        arm
    }

    fn inner(&self) -> MutexGuard<'_, FakeState> {
        self.0.lock().expect("no handler panics")
    }

    pub(crate) fn base(&self) -> String {
        self.inner().base.clone()
    }

    pub(crate) fn style(&self, style: OperationStyle) {
        self.inner().style = style;
    }

    /// Sets a function that answers instead of the fake where it returns a response.
    pub(crate) fn hook(&self, hook: impl FnMut(&RecordedRequest) -> Option<FakeResponse> + Send + 'static) {
        self.inner().hook = Box::new(hook);
    }

    /// Stores a resource as it is, without a request.
    pub(crate) fn set(&self, id: &str, mut body: Value) {
        body["id"] = id.into();
        body["name"] = id.rsplit('/').next().expect("a name").into();
        let version = self.inner().resources.len() as u64 + 100;
        self.inner().resources.insert(id.to_lowercase(), (version, body));
    }

    pub(crate) fn list(&self, path: &str, items: Vec<Value>) {
        self.inner().lists.insert(path.to_lowercase(), items);
    }

    pub(crate) fn resource(&self, id: &str) -> Value {
        self.inner().resources.get(&id.to_lowercase()).map_or(Value::Null, |(_, body)| body.clone())
    }

    pub(crate) fn seen(&self) -> Vec<RecordedRequest> {
        self.inner().seen.clone()
    }

    pub(crate) fn puts(&self) -> Vec<RecordedRequest> {
        self.seen().into_iter().filter(|seen| seen.method == Method::PUT).collect()
    }

    /// True if a write arrived while another one's operation was in progress.
    pub(crate) fn overlapping(&self) -> bool {
        self.inner().overlapping
    }
}

async fn serve(State(arm): State<FakeArm>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let seen = RecordedRequest {
        method,
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        headers,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    };
    let mut inner = arm.inner();
    inner.seen.push(seen.clone());
    let answer = (inner.hook)(&seen).unwrap_or_else(|| inner.answer(&seen));
    let mut response = Response::builder().status(answer.status).header("x-ms-correlation-request-id", "c-1");
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    let body = if answer.body.is_null() { Body::empty() } else { Body::from(answer.body.to_string()) };
    response.body(body).expect("a response")
}

impl FakeState {
    fn answer(&mut self, seen: &RecordedRequest) -> FakeResponse {
        match (&seen.method, seen.path.as_str()) {
            (&Method::GET, "/operations/1") => self.operation(),
            (&Method::GET, path) => self.get(&path.to_lowercase()),
            (&Method::PUT, path) => self.put(&path.to_lowercase(), seen),
            _ => FakeResponse::new(405, Value::Null),
        }
    }

    fn is_running(&mut self) -> bool {
        if self.left > 0 {
            self.left -= 1;
            return true;
        }
        if let Some(key) = self.pending.take() {
            let (_, body) = self.resources.get_mut(&key).expect("pending resources exist");
            body["properties"]["provisioningState"] = "Succeeded".into();
        }
        false
    }

    fn operation(&mut self) -> FakeResponse {
        let style = self.style;
        match (style, self.is_running()) {
            (OperationStyle::Location, true) => {
                FakeResponse::new(202, Value::Null).header("location", self.operation_url()).header("retry-after", "0")
            }
            (OperationStyle::Location, false) => FakeResponse::new(200, json!({})),
            (_, true) => FakeResponse::new(200, json!({"status": "InProgress"})).header("retry-after", "0"),
            (_, false) => FakeResponse::new(200, json!({"status": "Succeeded"})),
        }
    }

    fn get(&mut self, path: &str) -> FakeResponse {
        if let Some(items) = self.lists.get(path) {
            return FakeResponse::new(200, json!({ "value": items }));
        }
        if self.style == OperationStyle::Resource && self.pending.as_deref() == Some(path) {
            self.is_running();
        }
        match self.resources.get(path) {
            None => FakeResponse::error(404, "ResourceNotFound", "The Resource was not found."),
            Some((version, body)) => {
                let mut body = body.clone();
                body["etag"] = format!("W/\"{version}\"").into();
                FakeResponse::new(200, body)
            }
        }
    }

    fn put(&mut self, path: &str, seen: &RecordedRequest) -> FakeResponse {
        self.overlapping |= self.pending.is_some();
        let before = self.resources.get(path).map(|(version, _)| *version);
        let etag = before.map(|version| format!("W/\"{version}\""));
        let changed = seen.header("if-match").is_some_and(|expected| Some(expected) != etag.as_deref());
        if changed || (seen.header("if-none-match") == Some("*") && before.is_some()) {
            return FakeResponse::error(412, "PreconditionFailed", "Etag does not match.");
        }
        let state = if self.style == OperationStyle::Sync { "Succeeded" } else { "Updating" };
        let body = Self::stored(seen, state);
        self.resources.insert(path.to_owned(), (before.unwrap_or(0) + 1, body.clone()));
        self.embed(&seen.path, &body);
        let answer = FakeResponse::new(if before.is_some() { 200 } else { 201 }, body);
        if self.style == OperationStyle::Sync {
            return answer;
        }
        (self.left, self.pending) = (self.polls, Some(path.to_owned()));
        match self.style {
            OperationStyle::Status => {
                answer.header("azure-asyncoperation", self.operation_url()).header("retry-after", "0")
            }
            OperationStyle::Location => answer.header("location", self.operation_url()).header("retry-after", "0"),
            _ => answer,
        }
    }

    fn operation_url(&self) -> String {
        format!("{}/operations/1?t=1&c=A%2BB&s=x_-~&h=%3D%3d", self.base)
    }

    fn stored(seen: &RecordedRequest, state: &str) -> Value {
        let mut body = seen.body.clone();
        body["id"] = seen.path.clone().into();
        body["name"] = seen.path.rsplit('/').next().into();
        body["properties"]["provisioningState"] = state.into();
        if let Some(os) = body.pointer_mut("/properties/osProfile").and_then(Value::as_object_mut) {
            os.remove("customData"); // never returned
        }
        if seen.path.contains("/publicIPAddresses/") {
            body["properties"]["ipAddress"] = "203.0.113.7".into();
        }
        let configurations = body.pointer_mut("/properties/ipConfigurations").and_then(Value::as_array_mut);
        for configuration in configurations.into_iter().flatten() {
            if configuration["properties"]["privateIPAddress"].is_null() {
                configuration["properties"]["privateIPAddress"] = "10.237.0.4".into();
            }
        }
        body
    }

    /// Adds a child to the body of its parent, as ARM shows it.
    fn embed(&mut self, path: &str, body: &Value) {
        let mut parts = path.rsplitn(3, '/');
        let (_, kind, parent) = (parts.next(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let Some((version, parent)) = self.resources.get_mut(&parent.to_lowercase()) else { return };
        *version += 1;
        let Some(children) = parent["properties"][kind].as_array_mut() else { return };
        children.retain(|child| child["id"] != body["id"]);
        let mut child = body.clone();
        child["properties"]["provisioningState"] = "Succeeded".into();
        children.push(child);
    }
}
