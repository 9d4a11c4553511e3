use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{FromRequestParts, Request, State, ws::WebSocketUpgrade},
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::container::{self, ExecHandler};

/// Reaction of the server to the next request of a method, once.
pub(crate) enum ApiFault {
    /// Answers with this status and body, and changes nothing.
    Answer(u16, Value),
    /// Handles the request, then closes the connection without a response.
    LoseReply,
    /// Changes the stored objects first, as another client would, and then handles the request.
    Meanwhile(Box<dyn FnOnce(&mut ApiState) + Send>),
}

/// Stored objects by path, and the requests so far.
#[derive(Default)]
pub(crate) struct ApiState {
    pub(crate) objects: BTreeMap<String, Value>,
    pub(crate) writes: Vec<(String, Value)>,
    pub(crate) reads: Vec<String>,
    pub(crate) faults: VecDeque<(Method, ApiFault)>,
    /// Handler of commands, called with the words and the input.
    pub(crate) container: Option<ExecHandler>,
    /// All commands so far, each as one line.
    pub(crate) commands: Vec<String>,
    /// Responses that refuse the next commands before they run.
    pub(crate) refusals: VecDeque<(u16, Value)>,
    /// Number of discoveries that still leave out a defined kind.
    pub(crate) unserved: usize,
    version: u64,
}

impl ApiState {
    /// Stores an object under its path, with a new version.
    pub(crate) fn put(&mut self, path: &str, mut object: Value) {
        self.version += 1;
        let name = path.rsplit('/').next().expect("a path has segments");
        let uid =
            self.objects.get(path).map_or(json!(format!("uid-{}", self.version)), |o| o["metadata"]["uid"].clone());
        object["metadata"]["name"] = name.into();
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        object["metadata"]["uid"] = uid;
        if let Some(namespace) = path.split_once("/namespaces/").and_then(|(_, rest)| rest.split('/').next()) {
            object["metadata"]["namespace"] = namespace.into();
        }
        self.objects.insert(path.to_owned(), object);
    }

    /// Number of writes that start with this text.
    pub(crate) fn count(&self, start: &str) -> usize {
        self.writes.iter().filter(|(request, _)| request.starts_with(start)).count()
    }
}

/// A server on loopback, with its shared state.
#[derive(Clone)]
pub(crate) struct FakeApiServer(Arc<Mutex<ApiState>>);

impl FakeApiServer {
    pub(crate) async fn start() -> (Self, String) {
        let fake = Self(Arc::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let endpoint = format!("http://{}", listener.local_addr().expect("address"));
        let router = Router::new().fallback(serve).with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (fake, endpoint)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, ApiState> {
        self.0.lock().expect("no test panics while it holds the state")
    }

    pub(crate) fn fault(&self, method: Method, fault: ApiFault) {
        self.state().faults.push_back((method, fault));
    }
}

async fn serve(State(fake): State<FakeApiServer>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    if parts.uri.path().ends_with("/exec") {
        if parts.headers.get("accept").is_some_and(|kinds| kinds != "*/*") {
            return (StatusCode::NOT_ACCEPTABLE, "406: Not Acceptable\n\nAvailable representations: ").into_response();
        }
        let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await.expect("an upgrade");
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let refusal = fake.state().refusals.pop_front();
        return match refusal {
            Some((code, answer)) => reply(code, answer),
            None => upgrade
                .protocols(["v5.channel.k8s.io"])
                .on_upgrade(|socket| async move { container::serve(socket, &query, &fake).await }),
        };
    }
    let body = axum::body::to_bytes(body, 1 << 20).await.expect("body");
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (method, path) = (parts.method, parts.uri.path().to_owned());
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let mut world = fake.state();
    if method == Method::GET {
        world.reads.push(path.clone());
    } else {
        world.writes.push((format!("{method} {path}?{query}"), body.clone()));
    }
    let fault = match world.faults.front() {
        Some((wanted, _)) if *wanted == method => world.faults.pop_front(),
        _ => None,
    };
    match fault.map(|(_, fault)| fault) {
        Some(ApiFault::Answer(code, answer)) => reply(code, answer),
        Some(ApiFault::LoseReply) => {
            drop(answer(&mut world, &method, &path, &query, body));
            let broken = futures::stream::once(async { Err::<Bytes, _>(std::io::Error::other("connection lost")) });
            Response::new(Body::from_stream(broken))
        }
        Some(ApiFault::Meanwhile(change)) => {
            change(&mut world);
            answer(&mut world, &method, &path, &query, body)
        }
        None => answer(&mut world, &method, &path, &query, body),
    }
}

fn answer(world: &mut ApiState, method: &Method, path: &str, query: &str, body: Value) -> Response {
    match method.as_str() {
        "GET" => read(world, path),
        "POST" if path.ends_with("/eviction") => {
            world.objects.remove(path.trim_end_matches("/eviction"));
            reply(201, json!({"kind": "Status", "status": "Success"}))
        }
        "POST" => {
            let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap_or_default());
            if world.objects.contains_key(&path) {
                return failure(409, "AlreadyExists");
            }
            world.put(&path, body);
            reply(201, world.objects[&path].clone())
        }
        "PUT" => replace(world, path.trim_end_matches("/approval"), body),
        "PATCH" => patch(world, path, query, &body),
        "DELETE" => delete(world, path, &body),
        _ => failure(405, "MethodNotAllowed"),
    }
}

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/";

/// The kinds of a group's version, as the server lists them.
fn discover(world: &mut ApiState, group: &str, version: &str) -> Response {
    if group == "apiextensions.k8s.io" {
        let definitions =
            json!({"name": "customresourcedefinitions", "kind": "CustomResourceDefinition", "namespaced": false});
        return reply(200, json!({"resources": [definitions]}));
    }
    let specs = world.objects.iter().filter(|(at, _)| at.starts_with(DEFINITIONS)).map(|(_, object)| &object["spec"]);
    let of_group = specs.filter(|spec| spec["group"] == group && spec["versions"][0]["name"] == version);
    let resource =
        |spec: &Value| json!({"name": spec["names"]["plural"], "kind": spec["names"]["kind"], "namespaced": false});
    let resources: Vec<_> = of_group.map(resource).collect();
    if resources.is_empty() || world.unserved > 0 {
        world.unserved = world.unserved.saturating_sub(1);
        return reply(404, json!("404 page not found"));
    }
    reply(200, json!({"resources": resources}))
}

fn is_defined(world: &ApiState, plural: &str) -> bool {
    world.objects.iter().any(|(at, o)| at.starts_with(DEFINITIONS) && o["spec"]["names"]["plural"] == plural)
}

fn read(world: &mut ApiState, path: &str) -> Response {
    if path == "/version" {
        return reply(200, json!({"gitVersion": "v1.33.5"}));
    }
    if let ["", "apis", group, version] = path.split('/').collect::<Vec<_>>()[..] {
        return discover(world, group, version);
    }
    if path == "/api/v1" {
        return reply(
            200,
            json!({"resources": [{"name": "configmaps", "kind": "ConfigMap", "namespaced": true},
            {"name": "nodes", "kind": "Node", "namespaced": false}]}),
        );
    }
    if let Some(object) = world.objects.get(path) {
        return reply(200, object.clone());
    }
    let plural = path.rsplit('/').next().unwrap_or_default();
    if !["nodes", "pods", "certificatesigningrequests"].contains(&plural) && !is_defined(world, plural) {
        return failure(404, "NotFound");
    }
    let items: Vec<_> =
        world.objects.iter().filter(|(at, _)| at.contains(&format!("/{plural}/"))).map(|(_, o)| o).collect();
    reply(200, json!({"metadata": {}, "items": items}))
}

fn replace(world: &mut ApiState, path: &str, body: Value) -> Response {
    match world.objects.get(path) {
        None => failure(404, "NotFound"),
        Some(old) if old["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] => {
            failure(409, "Conflict")
        }
        Some(_) => {
            world.put(path, body);
            reply(200, world.objects[path].clone())
        }
    }
}

fn patch(world: &mut ApiState, path: &str, query: &str, body: &Value) -> Response {
    let is_apply = query.contains("force=");
    let Some(mut object) = world.objects.get(path).cloned().or_else(|| is_apply.then(|| json!({}))) else {
        return failure(404, "NotFound");
    };
    merge(&mut object, body);
    if is_apply {
        let fields = body.as_object().into_iter().flatten().map(|(key, _)| key);
        let own = fields.filter(|key| !["apiVersion", "kind", "metadata"].contains(&key.as_str()));
        let own: Value = own.map(|key| (format!("f:{key}"), json!({}))).collect();
        object["metadata"]["managedFields"] = json!([{"manager": "stargate", "operation": "Apply", "fieldsV1": own}]);
    }
    world.put(path, object);
    reply(200, world.objects[path].clone())
}

fn merge(object: &mut Value, patch: &Value) {
    match patch {
        Value::Object(fields) => {
            if !object.is_object() {
                *object = json!({});
            }
            for (key, value) in fields {
                if value.is_null() {
                    object.as_object_mut().expect("an object").remove(key);
                } else {
                    merge(&mut object[key], value);
                }
            }
        }
        other => *object = other.clone(),
    }
}

fn delete(world: &mut ApiState, path: &str, body: &Value) -> Response {
    match world.objects.get(path) {
        None => failure(404, "NotFound"),
        Some(object) if body["preconditions"]["uid"].as_str().is_some_and(|uid| object["metadata"]["uid"] != uid) => {
            failure(409, "Conflict")
        }
        Some(_) => {
            world.objects.remove(path);
            reply(200, json!({"kind": "Status", "status": "Success"}))
        }
    }
}

fn failure(code: u16, reason: &str) -> Response {
    reply(code, json!({"kind": "Status", "status": "Failure", "message": reason, "reason": reason, "code": code}))
}

fn reply(code: u16, body: Value) -> Response {
    (StatusCode::from_u16(code).expect("status"), axum::Json(body)).into_response()
}
