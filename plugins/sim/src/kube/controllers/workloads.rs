use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::pods::{fits, tolerates};
use crate::kube::create::suffix;
use crate::kube::eviction;
use crate::kube::json::{at, holds, is_going, list_at, name_of, namespace_of, object_mut, set, str_at, uid_of};
use crate::kube::resource::{Resource, core};
use crate::kube::state::Kube;

const CONTROLLER: &str = "kube-controller-manager";

/// Keeps the pods of deployments, replica sets and daemon sets as they should be, and counts them.
pub(super) fn act(kube: &mut Kube, now: Timestamp) {
    for deployment in living(kube, "deployments.apps") {
        roll_out(kube, &deployment, now);
    }
    for set in living(kube, "replicasets.apps") {
        replicate(kube, &set, now);
    }
    for set in living(kube, "daemonsets.apps") {
        spread(kube, &set, now);
    }
    for budget in living(kube, "poddisruptionbudgets.policy") {
        count_budget(kube, &budget, now);
    }
}

fn living(kube: &Kube, qualified: &str) -> Vec<Value> {
    kube.all(qualified).filter(|object| !is_going(object)).cloned().collect()
}

/// Says whose something is.
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

/// One replica set for each template; the latest has all replicas.
fn roll_out(kube: &mut Kube, deployment: &Value, now: Timestamp) {
    let template = at(deployment, &["spec", "template"]).cloned().unwrap_or_default();
    let digest = Sha256::digest(template.to_string().as_bytes());
    let hash = digest.iter().take(5).fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let name = format!("{}-{hash}", name_of(deployment));
    let replicas = at(deployment, &["spec", "replicas"]).cloned().unwrap_or_else(|| json!(1));
    let sets = core("replicasets");
    if kube.object(&sets, &sets.place(namespace_of(deployment), &name)).is_none() {
        let mut template = template;
        set(&mut template, &["metadata", "labels", "pod-template-hash"], json!(hash));
        let mut selector = at(deployment, &["spec", "selector"]).cloned().unwrap_or_default();
        set(&mut selector, &["matchLabels", "pod-template-hash"], json!(hash));
        let labels = at(&template, &["metadata", "labels"]).cloned();
        let metadata = json!({ "name": name, "namespace": namespace_of(deployment), "labels": labels, "ownerReferences": owner(deployment) });
        let spec = json!({ "replicas": replicas, "selector": selector, "template": template });
        kube.add(&sets, json!({ "metadata": metadata, "spec": spec }), (CONTROLLER, now));
    }
    for held in kube.owned_by("replicasets.apps", uid_of(deployment)) {
        let wanted = if name_of(&held) == name { replicas.clone() } else { json!(0) };
        kube.edit(&sets, &sets.place(namespace_of(&held), name_of(&held)), (CONTROLLER, now), |held| {
            set(held, &["spec", "replicas"], wanted);
        });
    }
    count_deployment(kube, deployment, &name, now);
}

fn count_deployment(kube: &mut Kube, deployment: &Value, current: &str, now: Timestamp) {
    let sets = kube.owned_by("replicasets.apps", uid_of(deployment));
    let sum = |key: &str| sets.iter().filter_map(|set| at(set, &["status", key])?.as_i64()).sum::<i64>();
    let (all, ready) = (sum("replicas"), sum("readyReplicas"));
    let updated = sets
        .iter()
        .find(|set| name_of(set) == current)
        .and_then(|set| at(set, &["status", "replicas"])?.as_i64())
        .unwrap_or_default();
    let wanted = at(deployment, &["spec", "replicas"]).and_then(Value::as_i64).unwrap_or_default();
    let generation = at(deployment, &["metadata", "generation"]).cloned().unwrap_or_default();
    let available = ready >= wanted - wanted / 4;
    let conditions = json!([
        verdict(
            "Available",
            available,
            if available { "MinimumReplicasAvailable" } else { "MinimumReplicasUnavailable" }
        ),
        verdict("Progressing", true, if ready >= wanted { "NewReplicaSetAvailable" } else { "ReplicaSetUpdated" }),
    ]);
    let mut status = json!({ "observedGeneration": generation, "conditions": conditions });
    for (key, number) in [
        ("replicas", all),
        ("updatedReplicas", updated),
        ("readyReplicas", ready),
        ("availableReplicas", ready),
        ("unavailableReplicas", (wanted - ready).max(0)),
    ] {
        if number > 0 {
            status[key] = json!(number);
        }
    }
    write_status(kube, &core("deployments"), deployment, status, now);
}

fn verdict(kind: &str, holds: bool, reason: &str) -> Value {
    json!({ "type": kind, "status": if holds { "True" } else { "False" }, "reason": reason, "message": "" })
}

fn write_status(kube: &mut Kube, resource: &Resource, object: &Value, status: Value, now: Timestamp) {
    let place = resource.place(namespace_of(object), name_of(object));
    kube.edit(resource, &place, (CONTROLLER, now), |object| {
        object_mut(object, &[]).insert("status".to_owned(), status);
    });
}

/// The pods of an owner that are not ended or going.
fn pods_of<'a>(kube: &'a Kube, owner: &Value) -> Vec<&'a Value> {
    let uid = uid_of(owner);
    let is_its = |pod: &&Value| {
        list_at(pod, &["metadata", "ownerReferences"]).iter().any(|owner| str_at(owner, &["uid"]) == uid)
    };
    let lives = |pod: &&Value| !is_going(pod) && !matches!(str_at(pod, &["status", "phase"]), "Succeeded" | "Failed");
    kube.all("pods").filter(is_its).filter(lives).collect()
}

fn replicate(kube: &mut Kube, set: &Value, now: Timestamp) {
    let wanted = at(set, &["spec", "replicas"])
        .and_then(Value::as_u64)
        .and_then(|replicas| usize::try_from(replicas).ok())
        .unwrap_or_default();
    let held: Vec<Value> = pods_of(kube, set).into_iter().cloned().collect();
    for _ in held.len()..wanted {
        start(kube, set, None, now);
    }
    let mut surplus = held;
    // What is not ready goes first.
    surplus.sort_by_key(|pod| !holds(pod, "Ready"));
    for pod in surplus.iter().skip(wanted) {
        stop(kube, pod, now);
    }
    let pods = pods_of(kube, set);
    let ready = pods.iter().filter(|pod| holds(pod, "Ready")).count();
    let generation = at(set, &["metadata", "generation"]).cloned().unwrap_or_default();
    let mut status =
        json!({ "replicas": pods.len(), "fullyLabeledReplicas": pods.len(), "observedGeneration": generation });
    if ready > 0 {
        status["readyReplicas"] = json!(ready);
        status["availableReplicas"] = json!(ready);
    }
    write_status(kube, &core("replicasets"), set, status, now);
}

/// Makes a pod from an owner's template, for a node if one is given.
fn start(kube: &mut Kube, owned_by: &Value, node: Option<&str>, now: Timestamp) {
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
    kube.add(&core("pods"), pod, (CONTROLLER, now));
}

/// Begins the end of a pod.
fn stop(kube: &mut Kube, pod: &Value, now: Timestamp) {
    let pods = core("pods");
    let call = crate::kube::call::Call::inside(
        "DELETE",
        "",
        &Value::Null,
        crate::kube::identity::User::admin(),
        CONTROLLER,
        now,
    );
    crate::kube::delete::begin(kube, &call, &pods, pod, &json!({}));
}

/// One pod on every node that the template fits.
fn spread(kube: &mut Kube, set: &Value, now: Timestamp) {
    let template = at(set, &["spec", "template"]).cloned().unwrap_or_default();
    let nodes = kube.all("nodes").filter(|node| is_for(&template, node));
    let nodes: BTreeSet<String> = nodes.map(|node| name_of(node).to_owned()).collect();
    let pods = pods_of(kube, set);
    let on = |pod: &Value| str_at(pod, &["spec", "nodeName"]).to_owned();
    let served: BTreeSet<String> = pods.iter().map(|pod| on(pod)).collect();
    let misplaced: Vec<Value> = pods.into_iter().filter(|pod| !nodes.contains(&on(pod))).cloned().collect();
    for node in nodes.difference(&served) {
        start(kube, set, Some(node), now);
    }
    for pod in &misplaced {
        stop(kube, pod, now);
    }
    let pods = pods_of(kube, set);
    let ready = pods.iter().filter(|pod| holds(pod, "Ready")).count();
    let status = json!({
        "currentNumberScheduled": pods.len(),
        "numberMisscheduled": 0,
        "desiredNumberScheduled": nodes.len(),
        "numberReady": ready,
        "numberAvailable": ready,
        "numberUnavailable": nodes.len().saturating_sub(ready),
        "updatedNumberScheduled": pods.len(),
        "observedGeneration": at(set, &["metadata", "generation"]),
    });
    write_status(kube, &core("daemonsets"), set, status, now);
}

/// Daemons also run where nothing else is put: on nodes that are cordoned or not ready.
fn is_for(template: &Value, node: &Value) -> bool {
    let hard = |taint: &&Value| !str_at(taint, &["key"]).starts_with("node.kubernetes.io/");
    let taints = list_at(node, &["spec", "taints"]).iter().filter(hard);
    fits(template, node)
        && taints
            .filter(|taint| str_at(taint, &["effect"]) != "PreferNoSchedule")
            .all(|taint| tolerates(template, taint))
}

fn count_budget(kube: &mut Kube, budget: &Value, now: Timestamp) {
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
    write_status(kube, &core("poddisruptionbudgets"), budget, status, now);
}
