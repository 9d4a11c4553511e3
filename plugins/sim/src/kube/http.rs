use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse as _, Response};
use futures::{Stream, stream};
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::credentials::{header_text, user};
use super::request::{ApiRequest, ApiResponse, Target};
use super::state::Kube;
use super::status::Refusal;
use super::watch::Watch;
use super::{access, control_plane, discovery, dispatch, exec, table};
use crate::intercept;
use crate::world::Shared;

/// Maximum size of the body of a request in bytes: 3 MiB, as in the real server.
const BODY_LIMIT: usize = 3 << 20;

/// Duration of a watch without `timeoutSeconds`. The real server takes a random one between 30 and
/// 60 minutes.
const WATCH_LIMIT: Duration = Duration::from_mins(30);

/// Interval between the bookmarks of a watch that allows them.
const BOOKMARK_INTERVAL: Duration = Duration::from_mins(1);

/// State that the handlers of all requests share.
#[derive(Clone)]
struct Server {
    /// World that contains the cluster.
    shared: Shared,
    /// Token that ends all watches when the server stops.
    stop: CancellationToken,
}

/// Creates the service of the Kubernetes API.
///
/// `stop` ends the open watches, so that the server can shut down.
pub(crate) fn router(shared: Shared, stop: CancellationToken) -> Router {
    Router::new()
        .fallback_service(axum::routing::any(handle).with_state(Server { shared: shared.clone(), stop }))
        .layer(middleware::from_fn_with_state(shared, intercept::watch_kubernetes))
}

/// Handles one request: authenticates, then runs `exec`, a watch, a read or a write.
async fn handle(State(server): State<Server>, incoming: Request) -> Response {
    let (parts, body) = incoming.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_LIMIT).await else {
        return refused(&Refusal::new(
            413,
            "RequestEntityTooLarge",
            "Request entity too large: limit is 3145728",
            None,
        ));
    };
    let request = match read(&server.shared.peek().kube, &parts, body) {
        Ok(request) => request,
        Err(refusal) => return refused(&refusal),
    };
    server.shared.peek().kube.found_at(header_text(&parts, header::HOST));
    if exec::is_exec(&request) && parts.headers.contains_key(header::UPGRADE) {
        return exec::answer(&server.shared, &request, parts).await.unwrap_or_else(|refusal| refused(&refusal));
    }
    if !accepts_json(&request) {
        return refused(&Refusal::not_acceptable());
    }
    if request.is_watch() {
        return watch(&server, &request);
    }
    let is_read = request.method == "GET";
    let answer = if is_read {
        dispatch::handle(&server.shared.peek().kube, &request).map(|decision| decision.value)
    } else {
        control_plane::handle(&mut server.shared.lock().kube, &request)
    };
    match answer {
        Ok(answer) => answered(&server.shared.peek().kube, &request, answer),
        Err(refusal) => refused(&refusal),
    }
}

/// Authenticates a request and converts it. `HEAD` is handled as `GET`.
fn read(kube: &Kube, parts: &Parts, body: Bytes) -> Result<ApiRequest, Refusal> {
    let query = url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let method = if parts.method == "HEAD" { "GET" } else { parts.method.as_str() };
    Ok(ApiRequest {
        method: method.to_owned(),
        path: parts.uri.path().to_owned(),
        query,
        content_type: header_text(parts, header::CONTENT_TYPE).to_owned(),
        accept: header_text(parts, header::ACCEPT).to_owned(),
        agent: header_text(parts, header::USER_AGENT).to_owned(),
        body,
        user: user(kube, parts)?,
        now: Timestamp::now(),
    })
}

/// Creates a response with the headers of every reply.
fn respond(status: u16, content_type: &str, body: Body) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "no-cache, private")];
    (status, headers, body).into_response()
}

/// Creates the response of a refusal: its `Status`, and `Retry-After` if the refusal has one.
fn refused(refusal: &Refusal) -> Response {
    let mut response = respond(refusal.code, "application/json", Body::from(format!("{}\n", refusal.body)));
    if let Some(seconds) = refusal.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Creates the HTTP response of a successful request, in the form that the client prefers.
fn answered(kube: &Kube, request: &ApiRequest, answer: ApiResponse) -> Response {
    let ApiResponse { status, body, warnings } = answer;
    if let Value::String(text) = body {
        return respond(status, "text/plain; charset=utf-8", Body::from(text));
    }
    let is_discovery =
        matches!(request.path.trim_end_matches('/'), "/api" | "/apis") && discovery::is_aggregated(request);
    let kind = if is_discovery { discovery::aggregated_type(request) } else { "application/json".to_owned() };
    // `Display` is several times slower on lists of a thousand objects.
    let mut bytes = serde_json::to_vec(&shown(kube, request, body)).unwrap_or_default();
    bytes.push(b'\n');
    let mut response = respond(status, &kind, Body::from(bytes));
    for warning in warnings.iter().filter_map(|text| warning(text)) {
        response.headers_mut().append(header::WARNING, warning);
    }
    response
}

/// Returns the header `Warning` of a text; `None` if the text cannot be a header.
fn warning(text: &str) -> Option<HeaderValue> {
    let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
    HeaderValue::from_str(&format!("299 - \"{quoted}\"")).ok()
}

/// Returns true if the client accepts JSON, or if the path does not name an object or a collection.
///
/// A client without `Accept` accepts all media types.
fn accepts_json(request: &ApiRequest) -> bool {
    let kinds = request.accept.split(',').map(|kind| kind.split(';').next().unwrap_or_default().trim());
    let is_object = Target::of_path(&request.path).is_some();
    request.accept.is_empty()
        || !is_object
        || kinds.into_iter().any(|kind| matches!(kind, "application/json" | "application/*" | "*/*"))
}

/// Returns the body as an object, a `Table` or metadata alone, by the first media type that the
/// client accepts.
fn shown(kube: &Kube, request: &ApiRequest, body: Value) -> Value {
    let first = request.accept.split(',').next().unwrap_or_default();
    if request.method != "GET" || !first.contains("g=meta.k8s.io") {
        return body;
    }
    let Some(target) = Target::of_path(&request.path) else { return body };
    let Some(resource) = kube.resource(&target.group, &target.version, &target.plural) else { return body };
    if first.contains("as=Table") {
        table::table(&resource, &body, request.now)
    } else if first.contains("as=PartialObjectMetadata") {
        table::partials(&resource, &body)
    } else {
        body
    }
}

/// Starts a watch and streams its events.
fn watch(server: &Server, request: &ApiRequest) -> Response {
    let kube = &server.shared.peek().kube;
    let begun = begin(kube, request);
    match begun {
        Ok(watch) => respond(
            200,
            "application/json",
            Body::from_stream(lines(server.clone(), request.clone(), watch, kube.bell())),
        ),
        Err(refusal) => refused(&refusal),
    }
}

/// Authorizes and starts a watch.
fn begin(kube: &Kube, request: &ApiRequest) -> Result<Watch, Refusal> {
    let target = Target::of_path(&request.path).ok_or_else(Refusal::no_such_path)?;
    access::check(kube, request, &target)?;
    let resource = kube.resource(&target.group, &target.version, &target.plural).ok_or_else(Refusal::no_such_path)?;
    Watch::begin(kube, request, resource, &target)
}

/// Open watch of a connection.
struct Following {
    server: Server,
    request: ApiRequest,
    watch: Watch,
    /// Receiver that wakes for each change of the cluster.
    bell: tokio::sync::watch::Receiver<u64>,
    /// Time at which the watch ends.
    end: Instant,
    /// Time of the next bookmark.
    mark: Instant,
    /// True after the last event was sent.
    done: bool,
}

/// Returns the events of a watch, one JSON object a line, until its time has expired.
fn lines(
    server: Server,
    request: ApiRequest,
    watch: Watch,
    bell: tokio::sync::watch::Receiver<u64>,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let seconds = request.parameter("timeoutSeconds").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
    let now = Instant::now();
    let end = now + seconds.unwrap_or(WATCH_LIMIT);
    let following = Following { server, request, watch, bell, end, mark: now + BOOKMARK_INTERVAL, done: false };
    stream::unfold(following, |mut following| async move {
        let lines = following.next().await?;
        Some((Ok(Bytes::from(lines)), following))
    })
}

impl Following {
    /// Returns the next lines; `None` at the end of the watch.
    async fn next(&mut self) -> Option<String> {
        while !self.done {
            self.bell.mark_unchanged();
            let events = self.watch.take(&self.server.shared.peek().kube);
            if !events.is_empty() {
                self.server.shared.saved().await.ok()?;
                self.done = self.watch.has_ended();
                return Some(self.text(&events));
            }
            tokio::select! {
                () = self.server.stop.cancelled() => return None,
                changed = self.bell.changed() => changed.ok()?,
                () = tokio::time::sleep_until(self.end.min(self.mark)) => {
                    self.done = Instant::now() >= self.end;
                    self.mark = Instant::now() + BOOKMARK_INTERVAL;
                    if let Some(mark) = self.watch.mark() {
                        return Some(self.text(&[mark]));
                    }
                }
            }
        }
        None
    }

    /// Formats events as lines, with objects in the form that the client prefers.
    fn text(&self, events: &[Value]) -> String {
        let first = self.request.accept.split(',').next().unwrap_or_default();
        let is_table = first.contains("as=Table");
        let is_partial = first.contains("as=PartialObjectMetadata");
        let mut text = String::new();
        for event in events {
            let mut event = event.clone();
            let is_plain = matches!(event.get("type").and_then(Value::as_str), Some("ERROR"));
            if is_table && !is_plain {
                event["object"] = table::table(self.watch.resource(), &event["object"], Timestamp::now());
            } else if is_partial && !is_plain {
                event["object"] = table::partial(&event["object"]);
            }
            text.push_str(&event.to_string());
            text.push('\n');
        }
        text
    }
}
