use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::pods::{fits, tolerates};
use crate::kube::effect::{Effect, EffectList, FieldEdit};
use crate::kube::json::{
    at, condition, holds, is_terminating, list_at, name_of, namespace_of, rfc3339, set, str_at, uid_of,
};
use crate::kube::new_object::suffix;
use crate::kube::resource::{Resource, core};
use crate::kube::state::Kube;
use crate::kube::{delete, eviction};

/// Name of the controller in managed fields.
const CONTROLLER: &str = "kube-controller-manager";

/// Returns all deployments that are not being deleted.
pub(super) fn deployments(kube: &Kube, _: Timestamp) -> Vec<Value> {
    living(kube, "deployments.apps")
}

/// Returns all replica sets that are not being deleted.
pub(super) fn replica_sets(kube: &Kube, _: Timestamp) -> Vec<Value> {
    living(kube, "replicasets.apps")
}

/// Returns all daemon sets that are not being deleted.
pub(super) fn daemon_sets(kube: &Kube, _: Timestamp) -> Vec<Value> {
    living(kube, "daemonsets.apps")
}

/// Returns all disruption budgets that are not being deleted.
pub(super) fn budgets(kube: &Kube, _: Timestamp) -> Vec<Value> {
    living(kube, "poddisruptionbudgets.policy")
}

/// Returns the objects of a resource that are not being deleted.
pub(super) fn living(kube: &Kube, qualified: &str) -> Vec<Value> {
    kube.all(qualified).filter(|object| !is_terminating(object)).cloned().collect()
}

/// Returns `ownerReferences` that name `object` as the controller.
fn owner(object: &Value) -> Value {
    json!([{
        "apiVersion": str_at(object, &["apiVersion"]),
        "kind": str_at(object, &["kind"]),
        "name": name_of(object),
        "uid": uid_of(object),
        "controller": true,
        "blockOwnerDeletion": true,
    }])
}

/// Creates one replica set for each template of a deployment, and moves all replicas to the latest
/// one.
///
/// The move is a single step. A real rollout obeys `maxSurge` and `maxUnavailable`.
pub(super) fn roll_out(kube: &Kube, deployment: &Value, now: Timestamp) -> Vec<Effect> {
    let mut template = at(deployment, &["spec", "template"]).cloned().unwrap_or_default();
    let digest = Sha256::digest(template.to_string().as_bytes());
    let hash = digest.iter().take(5).fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let name = format!("{}-{hash}", name_of(deployment));
    let replicas = at(deployment, &["spec", "replicas"]).cloned().unwrap_or_else(|| json!(1));
    let sets = core("replicasets");
    let mut effects = Vec::new();
    if kube.object(&sets, &sets.place(namespace_of(deployment), &name)).is_none() {
        set(&mut template, &["metadata", "labels", "pod-template-hash"], json!(hash));
        let mut selector = at(deployment, &["spec", "selector"]).cloned().unwrap_or_default();
        set(&mut selector, &["matchLabels", "pod-template-hash"], json!(hash));
        let labels = at(&template, &["metadata", "labels"]).cloned();
        let metadata = json!({ "name": name, "namespace": namespace_of(deployment), "labels": labels, "ownerReferences": owner(deployment) });
        let spec = json!({ "replicas": replicas, "selector": selector, "template": template });
        let object = json!({ "metadata": metadata, "spec": spec });
        effects.push(Effect::Add { resource: sets.clone(), object, manager: CONTROLLER });
    }
    for held in kube.owned_by("replicasets.apps", uid_of(deployment)) {
        let desired = if name_of(&held) == name { replicas.clone() } else { json!(0) };
        effects.push(edit(&sets, &held, FieldEdit::set(&["spec", "replicas"], desired)));
    }
    effects.push(write_status(&core("deployments"), deployment, deployment_status(kube, deployment, &name), now));
    effects
}

/// Returns the status of a deployment from the sums over its replica sets.
///
/// `current` is the name of the replica set of the latest template.
fn deployment_status(kube: &Kube, deployment: &Value, current: &str) -> Value {
    let sets = kube.owned_by("replicasets.apps", uid_of(deployment));
    let sum = |key: &str| sets.iter().filter_map(|set| at(set, &["status", key])?.as_i64()).sum::<i64>();
    let (all, ready) = (sum("replicas"), sum("readyReplicas"));
    let updated = sets
        .iter()
        .find(|set| name_of(set) == current)
        .and_then(|set| at(set, &["status", "replicas"])?.as_i64())
        .unwrap_or_default();
    let desired = at(deployment, &["spec", "replicas"]).and_then(Value::as_i64).unwrap_or_default();
    let generation = at(deployment, &["metadata", "generation"]).cloned().unwrap_or_default();
    let available = ready >= desired - desired / 4;
    let conditions = json!([
        verdict(
            "Available",
            available,
            if available { "MinimumReplicasAvailable" } else { "MinimumReplicasUnavailable" }
        ),
        verdict("Progressing", true, if ready >= desired { "NewReplicaSetAvailable" } else { "ReplicaSetUpdated" }),
    ]);
    let mut status = json!({ "observedGeneration": generation, "conditions": conditions });
    for (key, number) in [
        ("replicas", all),
        ("updatedReplicas", updated),
        ("readyReplicas", ready),
        ("availableReplicas", ready),
        ("unavailableReplicas", (desired - ready).max(0)),
    ] {
        if number > 0 {
            status[key] = json!(number);
        }
    }
    status
}

/// Returns a condition without its transition time.
fn verdict(kind: &str, holds: bool, reason: &str) -> Value {
    json!({ "type": kind, "status": if holds { "True" } else { "False" }, "reason": reason, "message": "" })
}

/// Returns the effect that changes one field of an object.
fn edit(resource: &Resource, object: &Value, field: FieldEdit) -> Effect {
    let key = resource.place(namespace_of(object), name_of(object));
    Effect::Edit { resource: resource.clone(), key, manager: CONTROLLER.to_owned(), fields: vec![field] }
}

/// Returns the effect that replaces the status of an object.
///
/// A condition keeps its transition time until its status changes.
pub(super) fn write_status(resource: &Resource, object: &Value, mut status: Value, now: Timestamp) -> Effect {
    for new in status.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
        let held = condition(object, str_at(new, &["type"])).filter(|held| held.get("status") == new.get("status"));
        let since = held.and_then(|held| held.get("lastTransitionTime")).cloned();
        set(new, &["lastTransitionTime"], since.unwrap_or_else(|| rfc3339(now)));
    }
    edit(resource, object, FieldEdit::set(&["status"], status))
}

/// Returns the pods of an owner that have not finished and are not being deleted.
fn pods_of<'a>(kube: &'a Kube, owner: &Value) -> Vec<&'a Value> {
    let uid = uid_of(owner);
    let is_its = |pod: &&Value| {
        list_at(pod, &["metadata", "ownerReferences"]).iter().any(|owner| str_at(owner, &["uid"]) == uid)
    };
    let lives =
        |pod: &&Value| !is_terminating(pod) && !matches!(str_at(pod, &["status", "phase"]), "Succeeded" | "Failed");
    kube.all("pods").filter(is_its).filter(lives).collect()
}

/// Starts missing pods of a replica set and stops surplus ones, first those that are not ready.
pub(super) fn replicate(kube: &Kube, set: &Value, now: Timestamp) -> Vec<Effect> {
    let desired = at(set, &["spec", "replicas"])
        .and_then(Value::as_u64)
        .and_then(|replicas| usize::try_from(replicas).ok())
        .unwrap_or_default();
    let mut held = pods_of(kube, set);
    held.sort_by_key(|pod| !holds(pod, "Ready"));
    let (kept, surplus) = held.split_at(desired.min(held.len()));
    let mut effects: Vec<Effect> = (kept.len()..desired).map(|_| start(set, None)).collect();
    effects.extend(surplus.iter().flat_map(|pod| stop(kube, pod, now)));
    let ready = kept.iter().filter(|pod| holds(pod, "Ready")).count();
    let generation = at(set, &["metadata", "generation"]).cloned().unwrap_or_default();
    let mut status = json!({ "replicas": desired, "fullyLabeledReplicas": desired, "observedGeneration": generation });
    if ready > 0 {
        status["readyReplicas"] = json!(ready);
        status["availableReplicas"] = json!(ready);
    }
    effects.push(write_status(&core("replicasets"), set, status, now));
    effects
}

/// Returns the effect that creates a pod from the template of its owner, bound to `node` if there
/// is one.
pub(super) fn start(owned_by: &Value, node: Option<&str>) -> Effect {
    let mut pod = at(owned_by, &["spec", "template"]).cloned().unwrap_or_default();
    let name = format!("{}-{}", name_of(owned_by), suffix());
    set(&mut pod, &["metadata", "name"], json!(name));
    set(&mut pod, &["metadata", "generateName"], json!(format!("{}-", name_of(owned_by))));
    set(&mut pod, &["metadata", "namespace"], json!(namespace_of(owned_by)));
    set(&mut pod, &["metadata", "ownerReferences"], owner(owned_by));
    if let Some(node) = node {
        set(&mut pod, &["spec", "nodeName"], json!(node));
    }
    crate::kube::defaults::admitted_pod(&mut pod);
    Effect::Add { resource: core("pods"), object: pod, manager: CONTROLLER }
}

/// Starts the deletion of a pod, with the grace period of its specification.
pub(super) fn stop(kube: &Kube, pod: &Value, now: Timestamp) -> Vec<Effect> {
    let mut effects = EffectList::new(kube);
    delete::begin(kube, now, &core("pods"), pod, &json!({}), &mut effects);
    effects.into_effects()
}

/// Runs one pod of a daemon set on each node that fits its template, and stops pods on other nodes.
pub(super) fn spread(kube: &Kube, set: &Value, now: Timestamp) -> Vec<Effect> {
    let template = at(set, &["spec", "template"]).cloned().unwrap_or_default();
    let nodes = kube.all("nodes").filter(|node| is_for(&template, node));
    let nodes: BTreeSet<&str> = nodes.map(name_of).collect();
    let on = |pod: &Value| nodes.contains(str_at(pod, &["spec", "nodeName"]));
    let (placed, misplaced): (Vec<&Value>, Vec<&Value>) = pods_of(kube, set).into_iter().partition(|pod| on(pod));
    let served: BTreeSet<&str> = placed.iter().map(|pod| str_at(pod, &["spec", "nodeName"])).collect();
    let mut effects: Vec<Effect> = nodes.difference(&served).map(|node| start(set, Some(node))).collect();
    let scheduled = placed.len() + effects.len();
    effects.extend(misplaced.iter().flat_map(|pod| stop(kube, pod, now)));
    let ready = placed.iter().filter(|pod| holds(pod, "Ready")).count();
    let status = json!({
        "currentNumberScheduled": scheduled,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": nodes.len(),
        "numberReady": ready,
        "numberAvailable": ready,
        "numberUnavailable": nodes.len().saturating_sub(ready),
        "updatedNumberScheduled": scheduled,
        "observedGeneration": at(set, &["metadata", "generation"]),
    });
    effects.push(write_status(&core("daemonsets"), set, status, now));
    effects
}

/// Returns true if a daemon set runs on a node.
///
/// Taints under `node.kubernetes.io/` are ignored: daemons also run on nodes that are cordoned or
/// not ready.
fn is_for(template: &Value, node: &Value) -> bool {
    let hard = |taint: &&Value| !str_at(taint, &["key"]).starts_with("node.kubernetes.io/");
    let taints = list_at(node, &["spec", "taints"]).iter().filter(hard);
    fits(template, node)
        && taints
            .filter(|taint| str_at(taint, &["effect"]) != "PreferNoSchedule")
            .all(|taint| tolerates(template, taint))
}

/// Writes the status of a disruption budget from its current pods.
pub(super) fn count_budget(kube: &Kube, budget: &Value, now: Timestamp) -> Vec<Effect> {
    let state = eviction::state(kube, budget);
    let generation = at(budget, &["metadata", "generation"]).cloned().unwrap_or_default();
    let reason = if state.allowed > 0 { "SufficientPods" } else { "InsufficientPods" };
    let status = json!({
        "observedGeneration": generation,
        "disruptionsAllowed": state.allowed,
        "currentHealthy": state.healthy,
        "desiredHealthy": state.desired,
        "expectedPods": state.expected,
        "conditions": [verdict("DisruptionAllowed", state.allowed > 0, reason)],
    });
    vec![write_status(&core("poddisruptionbudgets"), budget, status, now)]
}
