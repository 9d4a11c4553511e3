//! Relevant state of the world, in a form that can be compared between copies of one world.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use stargate_sim::World;

use crate::{cluster_facts, host_facts, stage::Stage};

/// Properties that differ between two worlds after equal operations.
const VOLATILE: &[&str] = &[
    "etag",
    "guid",
    "order",
    "mac",
    "customData", // holds the one-shot key and the host key of this world's router
    "stargate-host-key",
    "keyData",
    "created",
    "time",
    "timeCreated",
    // Properties of objects in the cluster.
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "managedFields",
    "generation",
    "hostKey",
    "nodeID",
    "tailscaleIP",
];

/// Returns the state of everything that a workflow can create.
pub(crate) fn of(stage: &Stage) -> Value {
    let world = stage.sim.shared().peek();
    let whole = whole(&world);
    let facts = json!({
        "resources": whole["arm"]["resources"],
        "tailnet": tailnet(&world),
        "cluster": cluster_facts::of(&whole["kube"]),
        "hosts": host_facts::of(&whole["hosts"]["machines"]),
    });
    stable(&facts)
}

/// Returns the world as JSON, with the cluster's address replaced by a fixed one.
fn whole(world: &World) -> Value {
    let text = serde_json::to_string(world).unwrap();
    let kube = serde_json::to_value(&world.kube).unwrap();
    let server = kube["url"].as_str().filter(|url| !url.is_empty()).unwrap_or("nowhere");
    serde_json::from_str(&text.replace(server, "https://cluster")).unwrap()
}

/// Returns the devices without their identifiers, and the numbers of auth keys.
fn tailnet(world: &World) -> Value {
    let of_device = |d: &stargate_sim::tailnet::Device| json!({ "hostname": d.hostname, "tags": d.tags, "advertised": d.advertised, "enabled": d.enabled });
    let mut devices: Vec<Value> = world.tailnet.devices.values().map(of_device).collect();
    devices.sort_by_key(ToString::to_string);
    let keys = || world.tailnet.keys.values();
    json!({
        "devices": devices,
        "live keys": keys().filter(|key| key.valid()).count(),
        "used keys": keys().filter(|key| key.used.is_some()).count(),
    })
}

/// Removes volatile properties and the random parts of names.
fn stable(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept: BTreeMap<String, Value> = map
                .iter()
                .filter(|(k, _)| !VOLATILE.contains(&k.as_str()))
                .map(|(k, v)| (without_node_id(&without_disk_id(k)), stable(v)))
                .collect();
            Value::Object(kept.into_iter().collect::<Map<_, _>>())
        }
        Value::Array(items) => items.iter().map(stable).collect(),
        Value::String(text) => without_disk_id(text).into(),
        other => other.clone(),
    }
}

/// Removes the node id from the name of an annotation that records a router's routes.
fn without_node_id(name: &str) -> String {
    match name.split_once("routes.stargate.io/") {
        Some((start, _)) => format!("{start}routes.stargate.io/"),
        None => name.to_owned(),
    }
}

/// Removes the 32 random digits with which Azure ends the name of an OS disk.
fn without_disk_id(text: &str) -> String {
    let lower = text.to_lowercase();
    match lower.find("_osdisk_1_") {
        Some(at) => text[..at + "_osdisk_1_".len()].to_owned(),
        None => text.to_owned(),
    }
}
