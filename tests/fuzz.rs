//! Mutated texts for the readers of foreign text. `fuzz/README.md` describes the corpus.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

#[path = "../fuzz/src/bodies.rs"]
mod bodies;
#[path = "support/mutation.rs"]
mod mutation;
mod support;

use std::path::Path;

use bodies::journaled_plan;
use mutation::fuzz;
use stargate::{
    clock::UnixMillis,
    run::RunState,
    workflow::{self, Expression, GivenInputs},
};

#[test]
fn a_workflow_is_read_or_has_an_error_that_can_be_shown() {
    fuzz("workflow", 4_000, bodies::workflow);
}

#[test]
fn an_accepted_expression_is_accepted_again() {
    fuzz("expression", 20_000, bodies::expression_text);
}

#[test]
fn inputs_are_read_or_have_an_error_that_can_be_shown() {
    fuzz("inputs", 10_000, bodies::inputs);
}

#[test]
fn any_entries_are_applied_or_refused() {
    fuzz("journal", 10_000, bodies::journal);
}

#[test]
fn a_secret_is_found_in_any_text() {
    fuzz("redactor", 2_000, bodies::redactor);
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
