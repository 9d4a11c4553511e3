use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kube::json::{at, condition, list_at, moment, name_of, remove, set, str_at};
use crate::kube::resource::core;
use crate::kube::state::Kube;

const CONTROLLER: &str = "kube-controller-manager";

/// Taints nodes by their condition, as the node lifecycle controller does, and forgets kubelets whose node is gone.
pub(super) fn act(kube: &mut Kube, now: Timestamp) {
    let nodes: Vec<Value> = kube.all("nodes").filter(|node| is_to_change(node, now)).cloned().collect();
    for node in &nodes {
        let wanted = taints(node, now);
        kube.edit(&core("nodes"), name_of(node), (CONTROLLER, now), |node| {
            crate::kube::json::default(node, &TTL, json!("0"));
            if wanted.is_empty() {
                remove(node, &["spec", "taints"]);
            } else {
                set(node, &["spec", "taints"], Value::Array(wanted));
            }
        });
    }
    let names: BTreeSet<String> = kube.all("nodes").map(|node| name_of(node).to_owned()).collect();
    kube.kubelets.retain(|name, _| names.contains(name));
}

/// What the controller notes on every node.
const TTL: [&str; 3] = ["metadata", "annotations", "node.alpha.kubernetes.io/ttl"];

fn is_to_change(node: &Value, now: Timestamp) -> bool {
    let wanted = taints(node, now);
    let held = at(node, &["spec", "taints"]);
    at(node, &TTL).is_none_or(Value::is_null)
        || list_at(node, &["spec", "taints"]) != wanted
        || (wanted.is_empty() && held.is_some())
}

/// The taints that a node should have: its own, and those that its state calls for.
fn taints(node: &Value, now: Timestamp) -> Vec<Value> {
    let ready = condition(node, "Ready").map_or("False", |ready| str_at(ready, &["status"]));
    let cordoned = at(node, &["spec", "unschedulable"]) == Some(&json!(true));
    let wanted = [
        ("node.kubernetes.io/not-ready", "NoSchedule", ready == "False"),
        ("node.kubernetes.io/unreachable", "NoSchedule", ready == "Unknown"),
        ("node.kubernetes.io/unschedulable", "NoSchedule", cordoned),
    ];
    let mut taints = list_at(node, &["spec", "taints"]).to_vec();
    for (key, effect, is_wanted) in wanted {
        let held =
            taints.iter().position(|taint| str_at(taint, &["key"]) == key && str_at(taint, &["effect"]) == effect);
        match (held, is_wanted) {
            (Some(index), false) => drop(taints.remove(index)),
            (None, true) => taints.push(json!({ "key": key, "effect": effect, "timeAdded": moment(now) })),
            _ => {}
        }
    }
    taints
}

/// A node's kubelet reports no more.
pub(crate) fn lost(kube: &mut Kube, node: &str, now: Timestamp) {
    kube.edit(&core("nodes"), node, (CONTROLLER, now), |node| {
        for condition in node.pointer_mut("/status/conditions").and_then(Value::as_array_mut).into_iter().flatten() {
            if str_at(condition, &["status"]) == "Unknown" {
                continue;
            }
            set(condition, &["status"], json!("Unknown"));
            set(condition, &["reason"], json!("NodeStatusUnknown"));
            set(condition, &["message"], json!("Kubelet stopped posting node status."));
            set(condition, &["lastTransitionTime"], moment(now));
        }
    });
    let on_node = |pod: &&Value| str_at(pod, &["spec", "nodeName"]) == node;
    let pods: Vec<Value> = kube.all("pods").filter(on_node).cloned().collect();
    for pod in pods {
        let place = core("pods").place(crate::kube::json::namespace_of(&pod), name_of(&pod));
        kube.edit(&core("pods"), &place, (CONTROLLER, now), |pod| {
            for condition in pod.pointer_mut("/status/conditions").and_then(Value::as_array_mut).into_iter().flatten() {
                if str_at(condition, &["type"]) == "Ready" && str_at(condition, &["status"]) == "True" {
                    set(condition, &["status"], json!("False"));
                    set(condition, &["lastTransitionTime"], moment(now));
                }
            }
        });
    }
}
