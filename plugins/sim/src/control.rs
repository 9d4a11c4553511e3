use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use futures::stream;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::arm::{self, Quota};
use crate::dataplane::{Endpoint, IpProtocol, Plane, Service, UnmanagedPod, pod_name};
use crate::drift::{self, WorldDrift};
use crate::faults::{Faults, Rule, Schedule};
use crate::kube::running_pods;
use crate::surface::Surface;
use crate::traffic::{LoggedRequest, Traffic};
use crate::world::{Shared, World};

/// Maximum time that `GET /_world/holds?wait=` waits.
const WAIT_LIMIT: Duration = Duration::from_mins(1);

#[derive(Clone)]
struct Control {
    shared: Shared,
    stop: CancellationToken,
}

/// Returns the routes of the control API, by which tests and operators change the world from
/// outside. It is neither logged nor counted, needs a token of its own, and meets no fault.
///
/// The README of the crate documents every route with its parameters and its answer.
pub(crate) fn router(shared: Shared, stop: CancellationToken) -> Router {
    Router::new()
        .route("/_world/health", get(|| async { Json(json!({ "status": "ok" })) }))
        .route("/_world/state", get(state))
        .route("/_world/events", get(events))
        .route("/_world/counters", get(counters))
        .route("/_world/reset-counters", post(reset_counters))
        .route("/_world/requests", get(requests))
        .route("/_world/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/_world/faults/{id}", delete(remove_fault))
        .route("/_world/holds", get(holds))
        .route("/_world/holds/release", post(release))
        .route("/_world/drift", post(drift))
        .route("/_world/quota", post(quota))
        .route("/_world/operations/expire", post(expire_operations))
        .route("/_world/tokens/expire", post(expire_tokens))
        .route("/_world/pods", get(pods).put(set_pods))
        .route("/_world/path", get(path))
        .route("/_world/matrix", get(matrix))
        .with_state(Control { shared, stop })
}

async fn state(State(control): State<Control>) -> Response {
    match serde_json::to_vec(&*control.shared.peek()) {
        Ok(bytes) => ([(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[derive(Debug, Deserialize)]
struct EventQuery {
    #[serde(default)]
    after: u64,
    follow: Option<String>,
}

async fn events(State(control): State<Control>, Query(query): Query<EventQuery>) -> Response {
    let follow = query.follow.is_some_and(|follow| follow != "0" && follow != "false");
    let lines = stream::unfold((control, query.after, false), move |(control, after, done)| async move {
        if done {
            return None;
        }
        let mut latest = control.shared.latest();
        loop {
            let (text, last) = lines_after(&control.shared, after);
            if !text.is_empty() && control.shared.saved().await.is_err() {
                return None;
            }
            if !text.is_empty() || !follow {
                return Some((Ok::<Bytes, std::io::Error>(Bytes::from(text)), (control, last, !follow)));
            }
            tokio::select! {
                () = control.stop.cancelled() => return None,
                changed = latest.changed() => changed.ok()?,
            }
        }
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

fn lines_after(shared: &Shared, after: u64) -> (String, u64) {
    let events = shared.events_after(after);
    let last = events.last().map_or(after, |event| event.seq);
    let lines = events.iter().filter_map(|event| serde_json::to_string(event).ok());
    (lines.fold(String::new(), |text, line| text + &line + "\n"), last)
}

async fn counters(State(control): State<Control>) -> Json<Value> {
    let world = control.shared.peek();
    Json(json!({ "mutating": world.traffic.mutating(), "surfaces": world.traffic.counters }))
}

async fn reset_counters(State(control): State<Control>) -> StatusCode {
    let mut world = control.shared.lock();
    world.traffic = Traffic { latest: world.traffic.latest, ..Traffic::default() };
    StatusCode::NO_CONTENT
}

#[derive(Debug, Deserialize)]
struct RequestQuery {
    #[serde(default)]
    after: u64,
    surface: Option<Surface>,
    mutating: Option<bool>,
}

async fn requests(State(control): State<Control>, Query(query): Query<RequestQuery>) -> Json<Vec<LoggedRequest>> {
    let world = control.shared.peek();
    let wanted = |request: &&LoggedRequest| {
        request.seq > query.after
            && query.surface.is_none_or(|surface| surface == request.surface)
            && query.mutating.is_none_or(|mutating| mutating == request.mutating)
    };
    Json(world.traffic.log.iter().filter(wanted).cloned().collect())
}

async fn faults(State(control): State<Control>) -> Json<Faults> {
    Json(control.shared.peek().faults.clone())
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum NewFault {
    Schedule { schedule: Schedule },
    Rule(Rule),
}

async fn add_fault(State(control): State<Control>, Json(fault): Json<NewFault>) -> Response {
    let mut world = control.shared.lock();
    match fault {
        NewFault::Schedule { schedule } => {
            world.faults.schedule = Some(schedule);
            StatusCode::NO_CONTENT.into_response()
        }
        NewFault::Rule(rule) => Json(json!({ "id": world.faults.add(rule) })).into_response(),
    }
}

async fn clear_faults(State(control): State<Control>) -> StatusCode {
    control.shared.lock().faults.clear(None);
    StatusCode::NO_CONTENT
}

async fn remove_fault(State(control): State<Control>, Path(id): Path<u64>) -> StatusCode {
    control.shared.lock().faults.clear(Some(id));
    StatusCode::NO_CONTENT
}

#[derive(Debug, Deserialize)]
struct HoldQuery {
    wait: Option<f64>,
}

async fn holds(State(control): State<Control>, Query(query): Query<HoldQuery>) -> Response {
    if let Some(seconds) = query.wait {
        let limit = Duration::try_from_secs_f64(seconds).unwrap_or(WAIT_LIMIT).min(WAIT_LIMIT);
        let mut count = control.shared.paused_requests().watch();
        // An expired wait is an answer too: the list is empty then.
        let _waited = tokio::time::timeout(limit, count.wait_for(|count| *count > 0)).await.is_ok();
    }
    Json(control.shared.paused_requests().list()).into_response()
}

#[derive(Debug, Default, Deserialize)]
struct Release {
    id: Option<u64>,
}

async fn release(State(control): State<Control>, body: Bytes) -> Response {
    let release = if body.is_empty() { Ok(Release::default()) } else { serde_json::from_slice(&body) };
    match release {
        Ok(Release { id }) => Json(json!({ "released": control.shared.paused_requests().release(id) })).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

/// Request of another party to Azure Resource Manager.
#[derive(Debug, Deserialize)]
struct ArmDrift {
    method: String,
    path: String,
    body: Option<Value>,
}

async fn drift(State(control): State<Control>, Json(body): Json<Value>) -> Response {
    let outcome = if body.get("kind").is_some() {
        serde_json::from_value(body).map(|drift: WorldDrift| drift::happen(&control.shared, &drift))
    } else {
        let asked = serde_json::from_value(body);
        asked.map(|asked: ArmDrift| drift::ask_azure(&control.shared, &asked.method, &asked.path, asked.body))
    };
    outcome.unwrap_or_else(|error| (StatusCode::BAD_REQUEST, error.to_string()).into_response())
}

async fn quota(State(control): State<Control>, Json(quota): Json<Quota>) -> StatusCode {
    control.shared.lock().arm.quota = quota;
    StatusCode::NO_CONTENT
}

async fn expire_operations(State(control): State<Control>) -> StatusCode {
    arm::expire_operations(&mut control.shared.lock().arm);
    StatusCode::NO_CONTENT
}

async fn expire_tokens(State(control): State<Control>) -> StatusCode {
    control.shared.lock().arm.tokens_expired_before = Timestamp::now().as_second() + 1;
    StatusCode::NO_CONTENT
}

async fn pods(State(control): State<Control>) -> Json<Vec<UnmanagedPod>> {
    Json(control.shared.peek().pods.clone())
}

async fn set_pods(State(control): State<Control>, Json(pods): Json<Vec<UnmanagedPod>>) -> StatusCode {
    control.shared.lock().pods = pods;
    StatusCode::NO_CONTENT
}

#[derive(Debug, Deserialize)]
struct PathQuery {
    from: String,
    to: String,
    protocol: Option<IpProtocol>,
    port: Option<u16>,
}

impl PathQuery {
    fn service(&self) -> Service {
        let Service { protocol, port } = Service::HTTP;
        Service { protocol: self.protocol.unwrap_or(protocol), port: self.port.unwrap_or(port) }
    }
}

async fn path(State(control): State<Control>, Query(query): Query<PathQuery>) -> Response {
    match Plane::of(&control.shared.peek()).path(&query.from, &query.to, query.service()) {
        Ok(path) => Json(path).into_response(),
        Err(error) => (StatusCode::NOT_FOUND, error.to_string()).into_response(),
    }
}

#[derive(Debug, Deserialize)]
struct MatrixQuery {
    machines: Option<String>,
    namespace: Option<String>,
    selector: Option<String>,
    format: Option<String>,
}

impl MatrixQuery {
    /// Returns the names of the selected pods, or `None` if all are.
    fn chosen(&self, world: &World) -> Result<Option<BTreeSet<String>>, String> {
        if self.namespace.is_none() && self.selector.is_none() {
            return Ok(None);
        }
        let pods = running_pods(&world.kube, self.namespace.as_deref(), self.selector.as_deref().unwrap_or_default())?;
        Ok(Some(pods.iter().map(pod_name).collect()))
    }
}

async fn matrix(State(control): State<Control>, Query(query): Query<MatrixQuery>) -> Response {
    let (plane, chosen) = {
        let world = control.shared.peek();
        (Plane::of(&world), query.chosen(&world))
    };
    let chosen = match chosen {
        Ok(chosen) => chosen,
        Err(why) => return (StatusCode::BAD_REQUEST, why).into_response(),
    };
    let is_chosen = |pod: &&Endpoint| chosen.as_ref().is_none_or(|chosen| chosen.contains(&pod.name));
    let mut endpoints: Vec<Endpoint> = plane.pods().iter().filter(is_chosen).cloned().collect();
    if query.machines.is_some_and(|machines| machines != "0" && machines != "false") {
        endpoints.extend(plane.machines());
    }
    let matrix = plane.matrix(&endpoints);
    match query.format.as_deref() {
        Some("text") => matrix.text().into_response(),
        _ => Json(matrix).into_response(),
    }
}

/// Returns the route that closes the world. Its answer waits for no write of the state file: the
/// last one follows it.
pub(crate) fn shutdown_router(stop: CancellationToken) -> Router {
    let shutdown = |State(stop): State<CancellationToken>| async move {
        stop.cancel();
        StatusCode::ACCEPTED
    };
    Router::new().route("/_world/shutdown", post(shutdown)).with_state(stop)
}
