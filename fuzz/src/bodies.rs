//! Bodies of the targets whose readers are public.

use serde_json::Value;
use stargate::{
    clock::UnixMillis,
    plan::Plan,
    run::{Entry, RunState, next},
    workflow::{self, Expression, GivenInputs},
};
use stargate_sdk::Redactor;

/// Reads a workflow: it is read, or has an error that can be shown.
pub(crate) fn workflow(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Err(errors) = workflow::parse("w.yaml", &text).into_result() {
        assert!(!errors.to_string().is_empty());
    }
}

/// Reads an expression: an accepted one is accepted again, with the same references.
pub(crate) fn expression_text(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    match Expression::parse(&text) {
        Ok(read) => {
            let again = Expression::parse(read.source()).expect("an accepted text");
            assert_eq!(again.references(), read.references());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Reads an inputs file: it is read, or has an error that can be shown.
pub(crate) fn inputs(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Err(errors) = GivenInputs::parse("inputs.yaml", &text) {
        assert!(!errors.to_string().is_empty());
    }
}

/// Reads entries, one a line: an entry that is read is written and read as the same, and a run
/// applies or refuses it.
pub(crate) fn journal(input: &[u8]) {
    let plan = journaled_plan();
    let mut state = RunState::new(&plan);
    let lines = input.split(|byte| *byte == b'\n');
    for entry in lines.filter_map(|line| serde_json::from_slice::<Entry>(line).ok()) {
        check_stored_form(&entry);
        if state.apply(UnixMillis(1), &entry).is_ok() {
            next(&plan, &state, UnixMillis(2), 4);
        }
    }
}

fn check_stored_form(entry: &Entry) {
    let stored = serde_json::to_value(entry).expect("an entry is an object");
    let again: Entry = serde_json::from_str(&stored.to_string()).expect("an entry that was written");
    // The last digit of a fraction is not kept.
    assert!(&again == entry || has_fraction(&stored), "{again:?}\n{entry:?}");
}

/// Redacts a text. The first line is the secret; the others are the text around it.
pub(crate) fn redactor(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (secret, around) = text.split_once('\n').unwrap_or((&text, ""));
    let redactor = Redactor::default();
    redactor.add(secret);
    let redacted = redactor.redact(&format!("{around}{secret}{around}"));
    // A short secret, or one with asterisks, can occur in the mask and the text around it.
    if secret.len() >= 8 && !secret.contains('*') {
        assert!(!redacted.contains(secret), "{redacted}");
    }
}

/// Returns a plan with the steps that the entries of the corpus name.
///
/// # Panics
/// Never: `plan.json` is a plan.
pub fn journaled_plan() -> Plan {
    serde_json::from_str(include_str!("plan.json")).expect("a plan of the present format")
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
