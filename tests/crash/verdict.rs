//! Properties that must hold after each case, independent of the fault.

use std::collections::BTreeSet;

use serde_json::Value;
use stargate::{journal, plan::Plan, run::Entry};

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

/// Returns the steps that were done more often than their nature permits: a result that is kept is
/// obtained once, any other once for each process that has acquired the run.
pub(crate) async fn steps_done_twice(stage: &Stage) -> Vec<String> {
    let journal = journal::open(stage.journal()).await.unwrap();
    let mut found = vec![];
    for row in journal.runs(10).await.unwrap() {
        let stored = journal.load(row.id).await.unwrap();
        let plan: Plan = serde_json::from_str(&stored.plan_json).unwrap();
        found.extend(steps_done_again(&plan, stored.history.into_iter().map(|timed| timed.entry)));
    }
    found
}

fn steps_done_again(plan: &Plan, entries: impl Iterator<Item = Entry>) -> Vec<String> {
    let is_kept = |step: &str| {
        // The step itself, or an instance of it.
        let is_of = |name: &str| step.strip_prefix(name).is_some_and(|key| key.is_empty() || key.starts_with('['));
        !plan.steps.iter().any(|planned| is_of(&planned.name) && planned.is_repeatable())
    };
    let mut done: BTreeSet<String> = BTreeSet::new();
    let mut found = vec![];
    for entry in entries {
        match entry {
            Entry::RunAcquired { refresh: true, .. } => done.retain(|step| is_kept(step)),
            Entry::StepStarted { step, .. } if done.contains(&step) => {
                found.push(format!("step {step} began again after it was done"));
            }
            Entry::StepSucceeded { step, .. } if !done.insert(step.clone()) => {
                found.push(format!("step {step} was done twice"));
            }
            _ => {}
        }
    }
    found
}
