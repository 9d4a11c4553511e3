use std::collections::BTreeMap;

use axum::extract::FromRequestParts as _;
use axum::extract::ws::WebSocketUpgrade;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;

use super::access;
use super::exec_request::ExecRequest;
use super::exec_socket::{Protocol, converse, refuse};
use super::json::{list_at, name_of, namespace_of, str_at, uid_of};
use super::log::{KUBELET_PORT, address, container, failed, pod, unreachable};
use super::request::{ApiRequest, Target};
use super::running::hostname;
use super::state::Kube;
use super::status::Refusal;
use crate::host::{Container, keep_containers};
use crate::world::Shared;

/// Reason for which a kubelet does not run a command.
#[derive(Debug, Clone)]
enum Obstacle {
    /// Unreachable kubelet: the error of the connection, and the URL that was requested.
    Away { why: String, url: String },
    /// Refusal of the kubelet: status code and message.
    Refused(u16, String),
}

/// Returns true if a request is for the `exec` of a pod.
pub(super) fn is_exec(request: &ApiRequest) -> bool {
    let target = Target::of_path(&request.path).filter(|target| target.group.is_empty() && target.plural == "pods");
    matches!(request.method.as_str(), "GET" | "POST")
        && target.is_some_and(|at| at.subresource.as_deref() == Some("exec"))
}

/// Handles `exec` over a `WebSocket` with the protocol `v5.channel.k8s.io` or `v4.channel.k8s.io`.
///
/// With v5 the API server accepts the connection itself and reports a refusal of the kubelet in the
/// error channel. With v4 the connection is that of the kubelet, so its refusal is the reply to the
/// request. SPDY is not supported.
pub(super) async fn answer(shared: &Shared, request: &ApiRequest, mut parts: Parts) -> Result<Response, Refusal> {
    // The stream has no media type, so even `application/json` is not acceptable.
    if !request.accept.is_empty() && !request.accept.contains("*/*") {
        let message = "406: Not Acceptable\n\nAvailable representations: ";
        return Ok((StatusCode::NOT_ACCEPTABLE, message).into_response());
    }
    let (container, obstacle) = prepare(shared, request)?;
    // The real server accepts POST as well; the upgrade of axum requires GET.
    parts.method = Method::GET;
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await;
    let upgrade = upgrade.map_err(|_| Refusal::bad_request("Upgrade request required"))?;
    let upgrade = upgrade.protocols([Protocol::V5.name(), Protocol::V4.name()]);
    let chosen = upgrade.selected_protocol().and_then(|name| Protocol::named(name.to_str().ok()?));
    let Some(protocol) = chosen else { return Ok(StatusCode::FORBIDDEN.into_response()) };
    match obstacle {
        Some(obstacle) if protocol == Protocol::V4 => obstacle.answer(),
        Some(obstacle) => Ok(upgrade.on_upgrade(async move |socket| refuse(socket, &obstacle.message()).await)),
        None => {
            let (shared, request) = (shared.clone(), ExecRequest::of(request));
            Ok(upgrade.on_upgrade(async move |socket| converse(socket, protocol, &shared, &container, request).await))
        }
    }
}

/// Checks a request as the API server does before it connects to the kubelet.
///
/// Returns the container, and the reason for which its kubelet will not run the command. Also
/// removes the state of containers whose pods are deleted.
fn prepare(shared: &Shared, request: &ApiRequest) -> Result<(Container, Option<Obstacle>), Refusal> {
    let mut world = shared.lock();
    let kube = &world.kube;
    let target = Target::of_path(&request.path).ok_or_else(Refusal::no_such_path)?;
    access::check(kube, request, &target)?;
    let resource = kube.resource("", &target.version, "pods").ok_or_else(Refusal::no_such_path)?;
    let pod = pod(kube, &resource, &target)?;
    let name = container(pod, request.parameter("container").unwrap_or_default())?;
    if str_at(pod, &["spec", "nodeName"]).is_empty() {
        return Err(Refusal::bad_request(&format!("pod {} does not have a host assigned", name_of(pod))));
    }
    let (found, obstacle) = (view(pod, name), obstacle(kube, pod, name, request));
    let there: Vec<String> = kube.all("pods").map(|pod| uid_of(pod).to_owned()).collect();
    keep_containers(&mut world, |key| there.iter().any(|uid| key.starts_with(uid.as_str())));
    Ok((found, obstacle))
}

/// Returns the reason for which the kubelet will not run a command; `None` if it will.
fn obstacle(kube: &Kube, pod: &Value, container: &str, request: &ApiRequest) -> Option<Obstacle> {
    if let Some(why) = unreachable(kube, pod) {
        let query: Vec<String> =
            request.query.iter().filter_map(|(key, value)| kubelet_parameter(key, value)).collect();
        let path = format!("exec/{}/{}/{container}?{}", namespace_of(pod), name_of(pod), query.join("&"));
        return Some(Obstacle::Away { why, url: format!("https://{}:{KUBELET_PORT}/{path}", address(kube, pod)) });
    }
    let request = ExecRequest::of(request);
    if !(request.stdin || request.stdout || request.stderr) {
        return Some(Obstacle::Refused(400, "you must specify at least 1 of stdin, stdout, stderr".to_owned()));
    }
    let mut statuses = list_at(pod, &["status", "containerStatuses"]).iter();
    let runs = statuses.any(|status| str_at(status, &["name"]) == container && status["state"]["running"].is_object());
    (!runs).then(|| Obstacle::Refused(500, format!("container not found (\"{container}\")")))
}

/// Converts a parameter to the name that the kubelet uses for it; other parameters are dropped.
fn kubelet_parameter(key: &str, value: &str) -> Option<String> {
    let word: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
    match key {
        "command" => Some(format!("command={word}")),
        "stdin" if value == "true" => Some("input=1".to_owned()),
        "stdout" if value == "true" => Some("output=1".to_owned()),
        "stderr" if value == "true" => Some("error=1".to_owned()),
        "tty" if value == "true" => Some("tty=1".to_owned()),
        _ => None,
    }
}

impl Obstacle {
    /// Returns the reply to a client whose connection is passed to the kubelet.
    fn answer(self) -> Result<Response, Refusal> {
        match self {
            Self::Away { why, .. } => Err(failed(&format!("error dialing backend: {why}"))),
            // The refusal of the kubelet itself is plain text.
            Self::Refused(code, why) => Ok((StatusCode::from_u16(code).unwrap_or_default(), why).into_response()),
        }
    }

    /// Returns the message of the API server about its own request to the kubelet.
    fn message(&self) -> String {
        match self {
            Self::Away { why, url } => format!("error sending request: Post \"{url}\": {why}"),
            Self::Refused(_, why) => format!("unable to upgrade connection: {why}"),
        }
    }
}

/// Returns a container as its programs see it: host name, address, environment and working
/// directory.
fn view(pod: &Value, name: &str) -> Container {
    let spec = list_at(pod, &["spec", "containers"]).iter().find(|each| str_at(each, &["name"]) == name);
    let spec = spec.unwrap_or(&Value::Null);
    let directory = Some(str_at(spec, &["workingDir"])).filter(|directory| !directory.is_empty());
    Container {
        key: format!("{}/{name}", uid_of(pod)),
        hostname: hostname(pod).to_owned(),
        address: str_at(pod, &["status", "podIP"]).to_owned(),
        environment: environment(pod, spec),
        directory: directory.unwrap_or("/").to_owned(),
    }
}

/// Returns the environment variables of the container specification.
///
/// Values come from `value` and `fieldRef`; references to secrets and config maps are not resolved.
fn environment(pod: &Value, spec: &Value) -> BTreeMap<String, String> {
    let variables = list_at(spec, &["env"]).iter().filter_map(|variable| {
        let value = match str_at(variable, &["valueFrom", "fieldRef", "fieldPath"]) {
            "" => str_at(variable, &["value"]),
            path => str_at(pod, &path.split('.').collect::<Vec<_>>()),
        };
        let is_set = variable.get("value").is_some() || variable.pointer("/valueFrom/fieldRef").is_some();
        is_set.then(|| (str_at(variable, &["name"]).to_owned(), value.to_owned()))
    });
    variables.collect()
}
