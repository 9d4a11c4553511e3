//! Properties that must hold after each case, independent of the fault.

use std::collections::BTreeMap;

use serde_json::Value;
use stargate::{journal, run::Entry};

use crate::{facts, stage::Stage};

/// Collects the paths at which two values differ, each with the expected and the actual value.
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

/// Compares the world with `expected` and checks the journal. Returns a message for each violation.
pub(crate) async fn complaints(stage: &Stage, expected: &Value) -> Vec<String> {
    let mut found = vec![];
    differences("", expected, &facts::of(stage), &mut found);
    found.extend(steps_done_twice(stage).await);
    found
}

/// Returns the steps that succeeded twice, or that started again after they had succeeded.
async fn steps_done_twice(stage: &Stage) -> Vec<String> {
    let journal = journal::open(stage.journal()).await.unwrap();
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
