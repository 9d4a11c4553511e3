//! What must be true whatever went wrong on the way.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stargate::{
    journal::{Journal, SqliteJournal},
    run::Entry,
};

use crate::stage::Stage;

/// Properties that differ between two worlds in which the same was done.
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
];

/// The state of the world that matters, comparable between worlds.
pub(crate) fn facts(stage: &Stage) -> Value {
    let shared = stage.sim.shared();
    let world = shared.lock();
    let whole = serde_json::to_value(&*world).unwrap();
    let mut devices: Vec<Value> = world
        .tailnet
        .devices
        .values()
        .map(|d| json!({ "hostname": d.hostname, "tags": d.tags, "advertised": d.advertised, "enabled": d.enabled }))
        .collect();
    devices.sort_by_key(ToString::to_string);
    let live_keys = world.tailnet.keys.values().filter(|key| key.valid()).count();
    let used_keys = world.tailnet.keys.values().filter(|key| key.used.is_some()).count();
    json!({
        "resources": stable(&whole["arm"]["resources"]),
        "devices": devices,
        "live keys": live_keys,
        "used keys": used_keys,
    })
}

fn stable(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept: BTreeMap<String, Value> = map
                .iter()
                .filter(|(k, _)| !VOLATILE.contains(&k.as_str()))
                .map(|(k, v)| (without_disk_id(k), stable(v)))
                .collect();
            serde_json::to_value(kept).unwrap()
        }
        Value::Array(items) => items.iter().map(stable).collect(),
        Value::String(text) => without_disk_id(text).into(),
        other => other.clone(),
    }
}

/// The name that Azure gives an OS disk ends with 32 random digits.
fn without_disk_id(text: &str) -> String {
    let lower = text.to_lowercase();
    match lower.find("_osdisk_1_") {
        Some(at) => text[..at + "_osdisk_1_".len()].to_owned(),
        None => text.to_owned(),
    }
}

/// The paths at which two values differ.
pub(crate) fn differences(path: &str, a: &Value, b: &Value, found: &mut Vec<String>) {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            for key in x.keys().chain(y.keys().filter(|key| !x.contains_key(*key))) {
                differences(&format!("{path}/{key}"), &a[key.as_str()], &b[key.as_str()], found);
            }
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
            for (i, (x, y)) in x.iter().zip(y).enumerate() {
                differences(&format!("{path}/{i}"), x, y, found);
            }
        }
        _ if a != b => found.push(format!("{path}: expected {a}, found {b}")),
        _ => {}
    }
}

/// Compares the world with `expected` and the journal with itself; gives every complaint.
pub(crate) async fn complaints(stage: &Stage, expected: &Value) -> Vec<String> {
    let mut found = vec![];
    differences("", expected, &facts(stage), &mut found);
    found.extend(steps_done_twice(stage).await);
    found
}

async fn steps_done_twice(stage: &Stage) -> Vec<String> {
    let journal = SqliteJournal::open(&stage.journal()).await.unwrap();
    let rows = journal.runs(10).await.unwrap();
    let mut found = vec![];
    for row in rows {
        let mut done: BTreeMap<String, u32> = BTreeMap::new();
        for recorded in journal.load(row.id).await.unwrap().history {
            match recorded.entry {
                Entry::StepSucceeded { step, .. } => *done.entry(step).or_default() += 1,
                Entry::StepStarted { step, .. } if done.contains_key(&step) => {
                    found.push(format!("step {step} began again after it was done"));
                }
                _ => {}
            }
        }
        found.extend(
            done.into_iter().filter(|(_, n)| *n > 1).map(|(step, n)| format!("step {step} was done {n} times")),
        );
    }
    found
}
