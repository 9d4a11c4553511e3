use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kube::effect::{Effect, FieldEdit};
use crate::kube::json::{at, condition, list_at, name_of, namespace_of, rfc3339, set, str_at};
use crate::kube::resource::core;
use crate::kube::state::Kube;

/// Name of the controller in managed fields.
const CONTROLLER: &str = "kube-controller-manager";

/// Returns the nodes whose taints or annotation differ from those that their state requires.
pub(super) fn due(kube: &Kube, now: Timestamp) -> Vec<Value> {
    kube.all("nodes").filter(|node| is_to_change(node, now)).cloned().collect()
}

/// Taints a node according to its conditions, as the node lifecycle controller does.
pub(super) fn reconcile(_: &Kube, node: &Value, now: Timestamp) -> Vec<Effect> {
    let desired = taints(node, now);
    let ttl = at(node, &TTL).filter(|ttl| !ttl.is_null()).cloned().unwrap_or_else(|| json!("0"));
    let taints = if desired.is_empty() {
        FieldEdit::remove(&["spec", "taints"])
    } else {
        FieldEdit::set(&["spec", "taints"], Value::Array(desired))
    };
    vec![Effect::Edit {
        resource: core("nodes"),
        key: name_of(node).to_owned(),
        manager: CONTROLLER.to_owned(),
        fields: vec![FieldEdit::set(&TTL, ttl), taints],
    }]
}

/// Returns the names of deleted nodes that still have an entry for their kubelet.
pub(super) fn lost_kubelets(kube: &Kube, _: Timestamp) -> Vec<Value> {
    kube.kubelets.keys().filter(|name| kube.named("nodes", name).is_none()).map(|name| json!(name)).collect()
}

/// Removes the entry for the kubelet of a deleted node.
pub(super) fn forget_kubelet(_: &Kube, node: &Value, _: Timestamp) -> Vec<Effect> {
    node.as_str().map(|node| Effect::SetKubelet { node: node.to_owned(), kubelet: None }).into_iter().collect()
}

/// Path of the annotation that the TTL controller of the real control plane sets on every node.
const TTL: [&str; 3] = ["metadata", "annotations", "node.alpha.kubernetes.io/ttl"];

/// Returns true if a node lacks the annotation or its taints differ from the required ones.
fn is_to_change(node: &Value, now: Timestamp) -> bool {
    let required = taints(node, now);
    let held = at(node, &["spec", "taints"]);
    at(node, &TTL).is_none_or(Value::is_null)
        || list_at(node, &["spec", "taints"]) != required
        || (required.is_empty() && held.is_some())
}

/// Returns the required taints of a node: its own, and those for its conditions and for a cordon.
fn taints(node: &Value, now: Timestamp) -> Vec<Value> {
    let ready = condition(node, "Ready").map_or("False", |ready| str_at(ready, &["status"]));
    let cordoned = at(node, &["spec", "unschedulable"]) == Some(&json!(true));
    let required = [
        ("node.kubernetes.io/not-ready", "NoSchedule", ready == "False"),
        ("node.kubernetes.io/unreachable", "NoSchedule", ready == "Unknown"),
        ("node.kubernetes.io/unschedulable", "NoSchedule", cordoned),
    ];
    let mut taints = list_at(node, &["spec", "taints"]).to_vec();
    for (key, effect, is_required) in required {
        let held =
            taints.iter().position(|taint| str_at(taint, &["key"]) == key && str_at(taint, &["effect"]) == effect);
        match (held, is_required) {
            (Some(index), false) => drop(taints.remove(index)),
            (None, true) => taints.push(json!({ "key": key, "effect": effect, "timeAdded": rfc3339(now) })),
            _ => {}
        }
    }
    taints
}

/// Marks a node as unreachable and its pods as not ready.
///
/// The simulated cluster does this as soon as the kubelet stops; a real one waits for a grace
/// period.
pub(crate) fn node_lost(kube: &Kube, node: &str, now: Timestamp) -> Vec<Effect> {
    let on_node = |pod: &&Value| str_at(pod, &["spec", "nodeName"]) == node;
    let lost = kube.named("nodes", node).map(|held| (core("nodes"), node.to_owned(), unknown(held, now)));
    let pods = kube
        .all("pods")
        .filter(on_node)
        .map(|pod| (core("pods"), core("pods").place(namespace_of(pod), name_of(pod)), not_ready(pod, now)));
    let edits = lost.into_iter().chain(pods).filter(|(_, _, conditions)| !conditions.is_empty());
    let effects = edits.map(|(resource, key, conditions)| Effect::Edit {
        resource,
        key,
        manager: CONTROLLER.to_owned(),
        fields: vec![FieldEdit::set(&["status", "conditions"], Value::Array(conditions))],
    });
    effects.collect()
}

/// Returns the conditions of a node whose kubelet has stopped reporting: all have the status
/// `Unknown`.
fn unknown(node: &Value, now: Timestamp) -> Vec<Value> {
    let mut conditions = list_at(node, &["status", "conditions"]).to_vec();
    for condition in conditions.iter_mut().filter(|condition| str_at(condition, &["status"]) != "Unknown") {
        set(condition, &["status"], json!("Unknown"));
        set(condition, &["reason"], json!("NodeStatusUnknown"));
        set(condition, &["message"], json!("Kubelet stopped posting node status."));
        set(condition, &["lastTransitionTime"], rfc3339(now));
    }
    conditions
}

/// Returns the conditions of a pod on a lost node: `Ready` becomes `False`.
fn not_ready(pod: &Value, now: Timestamp) -> Vec<Value> {
    let mut conditions = list_at(pod, &["status", "conditions"]).to_vec();
    let is_ready =
        |condition: &&mut Value| str_at(condition, &["type"]) == "Ready" && str_at(condition, &["status"]) == "True";
    for condition in conditions.iter_mut().filter(is_ready) {
        set(condition, &["status"], json!("False"));
        set(condition, &["lastTransitionTime"], rfc3339(now));
    }
    conditions
}
