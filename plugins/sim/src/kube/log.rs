use jiff::Timestamp;
use serde_json::Value;

use super::json::{list_at, name_of, namespace_of, str_at};
use super::request::{ApiRequest, ApiResponse, Target};
use super::resource::Resource;
use super::state::Kube;
use super::status::Refusal;

/// Port of each kubelet, from which the API server gets logs and runs `exec`.
pub(crate) const KUBELET_PORT: u16 = 10250;

/// Handles `GET` of the `log` of a pod: returns the output of a container as plain text.
///
/// Containers of the simulated world run no program of their own, so a log has one line: the start
/// of the container. `follow` is ignored.
pub(crate) fn read(
    kube: &Kube,
    request: &ApiRequest,
    resource: &Resource,
    target: &Target,
) -> Result<ApiResponse, Refusal> {
    let pod = pod(kube, resource, target)?;
    let container = container(pod, request.parameter("container").unwrap_or_default())?;
    let path = format!("/containerLogs/{}/{}/{container}", namespace_of(pod), name_of(pod));
    if let Some(why) = unreachable(kube, pod) {
        let address = address(kube, pod);
        return Err(failed(&format!("Get \"https://{address}:{KUBELET_PORT}{path}\": {why}")));
    }
    if request.is_set("previous") {
        let message = format!("previous terminated container \"{container}\" in pod \"{}\" not found", name_of(pod));
        return Err(Refusal::bad_request(&message));
    }
    let status =
        list_at(pod, &["status", "containerStatuses"]).iter().find(|each| str_at(each, &["name"]) == container);
    let began = status.map(|status| str_at(status, &["state", "running", "startedAt"])).unwrap_or_default();
    if began.is_empty() {
        let reason = status.map(|status| str_at(status, &["state", "waiting", "reason"])).unwrap_or_default();
        let reason = if reason.is_empty() { "ContainerCreating" } else { reason };
        let message = format!("container \"{container}\" in pod \"{}\" is waiting to start: {reason}", name_of(pod));
        return Err(Refusal::bad_request(&message));
    }
    Ok(ApiResponse::ok(Value::String(text(request, container, began))))
}

/// Returns the pod that a path names, or the refusal 404.
pub(super) fn pod<'a>(kube: &'a Kube, resource: &Resource, target: &Target) -> Result<&'a Value, Refusal> {
    let name = target.name.as_deref().unwrap_or_default();
    let place = resource.place(target.namespace.as_deref().unwrap_or_default(), name);
    kube.object(resource, &place).ok_or_else(|| Refusal::not_found(resource, name))
}

/// Returns the name of the requested container, or of the only one if `requested` is empty.
pub(super) fn container<'a>(pod: &'a Value, requested: &str) -> Result<&'a str, Refusal> {
    let names: Vec<&str> = list_at(pod, &["spec", "containers"]).iter().map(|each| str_at(each, &["name"])).collect();
    match names.as_slice() {
        [one] if requested.is_empty() => Ok(one),
        all if requested.is_empty() => {
            let message = format!(
                "a container name must be specified for pod {}, choose one of: [{}]",
                name_of(pod),
                all.join(" ")
            );
            Err(Refusal::bad_request(&message))
        }
        all => all.iter().find(|name| **name == requested).copied().ok_or_else(|| {
            Refusal::bad_request(&format!("container {requested} is not valid for pod {}", name_of(pod)))
        }),
    }
}

/// Returns the error of connecting to the kubelet of a pod; `None` if the kubelet runs.
pub(super) fn unreachable(kube: &Kube, pod: &Value) -> Option<String> {
    let runs = kube.kubelets.get(str_at(pod, &["spec", "nodeName"])).is_some_and(|kubelet| kubelet.running);
    (!runs).then(|| refused(kube, pod))
}

/// Returns the error of a refused connection in the words of Go.
fn refused(kube: &Kube, pod: &Value) -> String {
    format!("dial tcp {}:{KUBELET_PORT}: connect: connection refused", address(kube, pod))
}

/// Returns the `InternalIP` of the node of a pod, or else the name of the node.
pub(super) fn address<'a>(kube: &'a Kube, pod: &'a Value) -> &'a str {
    let node = str_at(pod, &["spec", "nodeName"]);
    let addresses = kube.named("nodes", node).map(|node| list_at(node, &["status", "addresses"])).unwrap_or_default();
    let internal = addresses.iter().find(|address| str_at(address, &["type"]) == "InternalIP");
    internal.map_or(node, |address| str_at(address, &["address"]))
}

/// Returns the refusal for a failed connection to a kubelet: 500 without a reason.
pub(super) fn failed(message: &str) -> Refusal {
    Refusal::new(500, "", message, None)
}

/// Returns the log of a container, restricted by `sinceSeconds`, `sinceTime`, `tailLines` and
/// `limitBytes`.
fn text(request: &ApiRequest, container: &str, began: &str) -> String {
    let number = |name: &str| request.parameter(name).and_then(|text| text.parse::<i64>().ok());
    let since = number("sinceSeconds")
        .map(|seconds| request.now - jiff::SignedDuration::from_secs(seconds))
        .or_else(|| request.parameter("sinceTime").and_then(|time| time.parse::<Timestamp>().ok()));
    let is_older = began.parse::<Timestamp>().is_ok_and(|began| since.is_some_and(|since| began < since));
    if is_older || number("tailLines") == Some(0) {
        return String::new();
    }
    let stamp = if request.parameter("timestamps") == Some("true") { format!("{began} ") } else { String::new() };
    let line = format!("{stamp}{container} began at {began}\n");
    let limit = number("limitBytes").and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    line.chars().take(limit).collect()
}
