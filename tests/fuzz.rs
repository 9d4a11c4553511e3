//! Mutated texts for the readers of foreign text. `fuzz/README.md` describes the corpus.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

mod support;

#[path = "support/mutation.rs"]
mod mutation;

use std::path::Path;

use mutation::fuzz;
use serde_json::Value;
use stargate::{
    clock::UnixMillis,
    plan::{ForEach, Plan},
    run::{Entry, RunState, next},
    workflow::{self, Expression, GivenInputs},
};
use stargate_sdk::Redactor;
use support::{expression, plan, step};

#[test]
fn a_workflow_is_read_or_has_an_error_that_can_be_shown() {
    fuzz("workflow", 4_000, |input| {
        let text = String::from_utf8_lossy(input);
        if let Err(errors) = workflow::parse("w.yaml", &text).into_result() {
            assert!(!errors.to_string().is_empty());
        }
    });
}

#[test]
fn an_accepted_expression_is_accepted_again() {
    fuzz("expression", 20_000, |input| {
        let text = String::from_utf8_lossy(input);
        match Expression::parse(&text) {
            Ok(read) => assert_eq!(Expression::parse(read.source()).unwrap().references(), read.references()),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}

#[test]
fn inputs_are_read_or_have_an_error_that_can_be_shown() {
    fuzz("inputs", 10_000, |input| {
        let text = String::from_utf8_lossy(input);
        if let Err(errors) = GivenInputs::parse("inputs.yaml", &text) {
            assert!(!errors.to_string().is_empty());
        }
    });
}

/// A plan with the steps that the entries of the corpus name.
fn journaled_plan() -> Plan {
    let mut each = step("each", "test.ensure", &[0]);
    each.for_each = Some(ForEach {
        group: None,
        items: expression("inputs.items"),
        variable: "item".into(),
        key: expression("item"),
        max_parallel: None,
    });
    plan(vec![step("first", "test.ask", &[]), each])
}

/// Returns `true` if the value contains a number with a fraction or an exponent.
fn has_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_fraction),
        Value::Object(entries) => entries.values().any(has_fraction),
        _ => false,
    }
}

#[test]
fn any_entries_are_applied_or_refused() {
    let plan = journaled_plan();
    fuzz("journal", 10_000, |input| {
        let mut state = RunState::new(&plan);
        let lines = input.split(|byte| *byte == b'\n');
        for entry in lines.filter_map(|line| serde_json::from_slice::<Entry>(line).ok()) {
            let stored = serde_json::to_vec(&entry).unwrap();
            let again = serde_json::from_slice::<Entry>(&stored).unwrap();
            // The last digit of a fraction is not kept.
            assert!(again == entry || has_fraction(&serde_json::to_value(&entry).unwrap()), "{again:?}\n{entry:?}");
            if state.apply(UnixMillis(1), &entry).is_ok() {
                next(&plan, &state, UnixMillis(2), 4);
            }
        }
    });
}

#[test]
fn a_secret_is_found_in_any_text() {
    // The first line is the secret; the others are the text around it.
    fuzz("redactor", 2_000, |input| {
        let text = String::from_utf8_lossy(input);
        let (secret, around) = text.split_once('\n').unwrap_or((&text, ""));
        let redactor = Redactor::default();
        redactor.add(secret);
        let redacted = redactor.redact(&format!("{around}{secret}{around}"));
        // A short secret, or one with asterisks, can occur in the mask and the text around it.
        if secret.len() >= 8 && !secret.contains('*') {
            assert!(!redacted.contains(secret), "{redacted}");
        }
    });
}

#[test]
fn the_corpus_of_accepted_texts_is_accepted() {
    // A corpus that every reader refuses at its first character tests nothing.
    let read = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        std::fs::read_to_string(path).unwrap()
    };
    workflow::parse("w.yaml", &read("workflow/steps.yaml")).into_result().unwrap();
    Expression::parse(&read("expression/functions.cel")).unwrap();
    GivenInputs::parse("i.yaml", &read("inputs/values.yaml")).unwrap();
    let plan = journaled_plan();
    let mut state = RunState::new(&plan);
    for line in read("journal/run.jsonl").lines() {
        state.apply(UnixMillis(1), &serde_json::from_str(line).unwrap()).unwrap();
    }
}
