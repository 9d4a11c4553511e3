use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kube::effect::{Effect, FieldEdit};
use crate::kube::json::{at, holds, is_terminating, list_at, name_of, namespace_of, rfc3339, set, str_at, uid_of};
use crate::kube::resource::core;
use crate::kube::state::{Kube, Kubelet};

/// Name of the scheduler in managed fields.
const SCHEDULER: &str = "kube-scheduler";
/// Name of kubelets in managed fields.
const KUBELET: &str = "kubelet";

/// Returns the pods that need a node, or for which their kubelet has work.
pub(super) fn due(kube: &Kube, _: Timestamp) -> Vec<Value> {
    kube.all("pods").filter(|pod| is_open(kube, pod)).cloned().collect()
}

/// Assigns a pod to a node, or starts or ends the pod on its node.
///
/// Pods on a node whose kubelet does not run remain unchanged, as on a real node that is down.
pub(super) fn reconcile(kube: &Kube, pod: &Value, now: Timestamp) -> Vec<Effect> {
    let node = str_at(pod, &["spec", "nodeName"]);
    if node.is_empty() {
        let is_scheduled_here = !is_terminating(pod) && str_at(pod, &["spec", "schedulerName"]) == "default-scheduler";
        return if is_scheduled_here { vec![schedule(kube, pod, now)] } else { Vec::new() };
    }
    if !kube.kubelets.get(node).is_some_and(|kubelet| kubelet.running) {
        return Vec::new();
    }
    if !is_terminating(pod) {
        return if is_settled(pod) { Vec::new() } else { run(kube, pod, node, now) };
    }
    // The processes of the pod have ended, so the kubelet deletes it without grace period.
    if list_at(pod, &["metadata", "finalizers"]).is_empty() {
        vec![Effect::Remove { resource: core("pods"), key: key(pod) }]
    } else {
        Vec::new()
    }
}

/// Returns the key of a pod in the store.
fn key(pod: &Value) -> String {
    core("pods").place(namespace_of(pod), name_of(pod))
}

/// Returns the effect that changes fields of a pod on behalf of `manager`.
fn edit(pod: &Value, manager: &str, fields: Vec<FieldEdit>) -> Effect {
    Effect::Edit { resource: core("pods"), key: key(pod), manager: manager.to_owned(), fields }
}

/// Returns true if the scheduler or a kubelet has work for a pod. Other pods are skipped, so that a
/// large cluster settles fast.
fn is_open(kube: &Kube, pod: &Value) -> bool {
    match str_at(pod, &["spec", "nodeName"]) {
        "" => true,
        node => {
            kube.kubelets.get(node).is_some_and(|kubelet| kubelet.running) && (is_terminating(pod) || !is_settled(pod))
        }
    }
}

/// Returns true if the kubelet has no work for a pod.
fn is_settled(pod: &Value) -> bool {
    let phase = str_at(pod, &["status", "phase"]);
    matches!(phase, "Succeeded" | "Failed") || (phase == "Running" && holds(pod, "Ready"))
}

/// Returns true if a node has the labels that the node selector and the required node affinity of a
/// pod or template demand.
pub(super) fn fits(pod: &Value, node: &Value) -> bool {
    let labels = node.pointer("/metadata/labels").cloned().unwrap_or_default();
    let selector = crate::kube::json::object_at(pod, &["spec", "nodeSelector"]);
    let selected = selector.into_iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let path = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    let terms = pod.pointer(path).and_then(Value::as_array);
    selected && terms.is_none_or(|terms| terms.iter().any(|term| crate::kube::selector::meets(term, &labels)))
}

/// Returns true if a pod, or the template of a pod, tolerates a taint.
pub(super) fn tolerates(pod: &Value, taint: &Value) -> bool {
    list_at(pod, &["spec", "tolerations"]).iter().any(|toleration| {
        let (key, effect) = (str_at(toleration, &["key"]), str_at(toleration, &["effect"]));
        let exists = str_at(toleration, &["operator"]) == "Exists";
        (key.is_empty() && exists || key == str_at(taint, &["key"]))
            && (effect.is_empty() || effect == str_at(taint, &["effect"]))
            && (exists || str_at(toleration, &["value"]) == str_at(taint, &["value"]))
    })
}

/// Assigns a pod to the accepting node with the fewest pods, or records that no node accepts it.
///
/// The scheduler considers cordons, node selectors, required node affinity and taints. It ignores
/// resources, and does not reconsider assigned pods.
fn schedule(kube: &Kube, pod: &Value, now: Timestamp) -> Effect {
    let accepts = |node: &&Value| {
        let hard = |taint: &&Value| str_at(taint, &["effect"]) != "PreferNoSchedule";
        at(node, &["spec", "unschedulable"]) != Some(&json!(true))
            && fits(pod, node)
            && list_at(node, &["spec", "taints"]).iter().filter(hard).all(|taint| tolerates(pod, taint))
    };
    let load =
        |node: &&Value| kube.all("pods").filter(|pod| str_at(pod, &["spec", "nodeName"]) == name_of(node)).count();
    let chosen = kube.all("nodes").filter(accepts).min_by_key(load).map(|node| name_of(node).to_owned());
    let condition = match &chosen {
        Some(_) => {
            json!({ "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": rfc3339(now) })
        }
        None => json!({
            "type": "PodScheduled",
            "status": "False",
            "lastProbeTime": null,
            "lastTransitionTime": at(pod, &["metadata", "creationTimestamp"]),
            "reason": "Unschedulable",
            "message": format!("0/{} nodes are available.", kube.all("nodes").count()),
        }),
    };
    let mut fields = vec![FieldEdit::set(&["status", "conditions"], json!([condition]))];
    fields.extend(chosen.map(|node| FieldEdit::set(&["spec", "nodeName"], json!(node))));
    edit(pod, SCHEDULER, fields)
}

/// Starts a pod. The pod remains pending if its node has no free address.
fn run(kube: &Kube, pod: &Value, node: &str, now: Timestamp) -> Vec<Effect> {
    let on_host = at(pod, &["spec", "hostNetwork"]) == Some(&json!(true));
    let host = host_address(kube, node);
    let held = str_at(pod, &["status", "podIP"]).to_owned();
    let mut effects = Vec::new();
    let address = if !held.is_empty() {
        Some(held)
    } else if on_host {
        Some(host.clone()).filter(|address| !address.is_empty())
    } else {
        let kubelet = allocate(kube, node);
        let address = kubelet.as_ref().and_then(|kubelet| kubelet.last_address);
        effects.extend(kubelet.map(|kubelet| Effect::SetKubelet { node: node.to_owned(), kubelet: Some(kubelet) }));
        address.map(|address| address.to_string())
    };
    let status = match address {
        Some(address) if has_images(pod) => running(pod, &address, &host, now),
        address => waiting(pod, address.as_deref(), &host, now),
    };
    effects.push(edit(pod, KUBELET, vec![FieldEdit::set(&["status"], status)]));
    effects
}

/// Returns the `InternalIP` of a node; empty if it has none.
fn host_address(kube: &Kube, node: &str) -> String {
    let addresses = kube.named("nodes", node).map(|node| list_at(node, &["status", "addresses"])).unwrap_or_default();
    let internal = addresses.iter().find(|address| str_at(address, &["type"]) == "InternalIP");
    internal.map(|address| str_at(address, &["address"]).to_owned()).unwrap_or_default()
}

/// Returns the kubelet after it has allocated the next free address of its prefix; `None` if no
/// address is free.
///
/// Addresses are allocated in turn, as the CNI plugin `host-local` does. The first one belongs to
/// the gateway.
fn allocate(kube: &Kube, node: &str) -> Option<Kubelet> {
    let kubelet = kube.kubelets.get(node)?;
    let range: Ipv4Net = kubelet.pod_cidr.as_deref()?.parse().ok()?;
    let pods = kube.all("pods").filter(|pod| str_at(pod, &["spec", "nodeName"]) == node);
    let taken: BTreeSet<Ipv4Addr> = pods.filter_map(|pod| str_at(pod, &["status", "podIP"]).parse().ok()).collect();
    let last = kubelet.last_address.filter(|last| range.contains(last)).unwrap_or_else(|| range.network());
    let usable = || range.hosts().skip(1).filter(|address| !taken.contains(address));
    let next = usable().find(|address| *address > last).or_else(|| usable().next())?;
    Some(Kubelet { last_address: Some(next), ..kubelet.clone() })
}

/// Returns a condition of a pod, with the previous transition time if its status has not changed.
fn condition(pod: &Value, kind: &str, status: bool, now: Timestamp) -> Value {
    let status = if status { "True" } else { "False" };
    let held = crate::kube::json::condition(pod, kind).filter(|held| str_at(held, &["status"]) == status);
    let since = held.and_then(|held| held.get("lastTransitionTime").cloned()).unwrap_or_else(|| rfc3339(now));
    json!({ "type": kind, "status": status, "lastProbeTime": null, "lastTransitionTime": since })
}

/// Returns the conditions that a kubelet reports for a pod.
fn conditions(pod: &Value, ready: bool, now: Timestamp) -> Value {
    json!([
        condition(pod, "PodReadyToStartContainers", ready, now),
        condition(pod, "Initialized", true, now),
        condition(pod, "Ready", ready, now),
        condition(pod, "ContainersReady", ready, now),
        condition(pod, "PodScheduled", true, now),
    ])
}

/// Returns the status of a running pod. Containers start immediately and do not restart.
fn running(pod: &Value, address: &str, host: &str, now: Timestamp) -> Value {
    let containers = list_at(pod, &["spec", "containers"]).iter();
    let statuses: Vec<Value> = containers
        .map(|container| {
            let image = str_at(container, &["image"]);
            json!({
                "name": str_at(container, &["name"]),
                "image": image,
                "imageID": format!("docker.io/{image}"),
                "containerID": format!("containerd://{}", uid_of(pod).replace('-', "")),
                "ready": true,
                "started": true,
                "restartCount": 0,
                "lastState": {},
                "state": { "running": { "startedAt": rfc3339(now) } },
            })
        })
        .collect();
    json!({
        "phase": "Running",
        "conditions": conditions(pod, true, now),
        "hostIP": host,
        "hostIPs": [{ "ip": host }],
        "podIP": address,
        "podIPs": [{ "ip": address }],
        "startTime": rfc3339(now),
        "containerStatuses": statuses,
        "qosClass": at(pod, &["status", "qosClass"]),
    })
}

/// Returns true if all images of a pod can be pulled.
fn has_images(pod: &Value) -> bool {
    list_at(pod, &["spec", "containers"]).iter().all(|container| can_be_pulled(str_at(container, &["image"])))
}

/// Returns true if the registry of an image has an address: none in the domain `invalid` has
/// (RFC 2606).
fn can_be_pulled(image: &str) -> bool {
    image.split('/').next().is_none_or(|registry| !registry.ends_with(".invalid"))
}

/// Returns the status of a pod that has no address or no image yet: pending.
fn waiting(pod: &Value, address: Option<&str>, host: &str, now: Timestamp) -> Value {
    let containers = list_at(pod, &["spec", "containers"]).iter();
    let statuses: Vec<Value> = containers
        .map(|container| {
            let image = str_at(container, &["image"]);
            let reason = if address.is_none() || can_be_pulled(image) {
                json!({ "reason": "ContainerCreating" })
            } else {
                json!({ "reason": "ImagePullBackOff", "message": format!("Back-off pulling image \"{image}\"") })
            };
            json!({
                "name": str_at(container, &["name"]),
                "image": image,
                "imageID": "",
                "ready": false,
                "started": false,
                "restartCount": 0,
                "lastState": {},
                "state": { "waiting": reason },
            })
        })
        .collect();
    let start = at(pod, &["status", "startTime"]).cloned().unwrap_or_else(|| rfc3339(now));
    let mut status = json!({
        "phase": "Pending",
        "conditions": conditions(pod, false, now),
        "hostIP": host,
        "hostIPs": [{ "ip": host }],
        "startTime": start,
        "containerStatuses": statuses,
        "qosClass": at(pod, &["status", "qosClass"]),
    });
    if let Some(address) = address {
        set(&mut status, &["podIP"], json!(address));
        set(&mut status, &["podIPs"], json!([{ "ip": address }]));
    }
    status
}
