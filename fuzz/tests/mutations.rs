//! Each target with its corpus and mutations of it, on stable Rust.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

use std::{collections::BTreeSet, fs};

use stargate::{
    clock::UnixMillis,
    run::RunState,
    workflow::{self, Expression, GivenInputs},
};
use stargate_fuzz::{TARGETS, corpus_folder, journaled_plan, mutate_corpus, target};

/// Makes a test of each target, named after it.
macro_rules! targets {
    ($($name:ident),* $(,)?) => {
        const TESTED: &[&str] = &[$(stringify!($name)),*];
        $(
            #[test]
            fn $name() {
                mutate_corpus(target(stringify!($name)).unwrap());
            }
        )*
    };
}

targets!(arm, expression, inputs, ip, journal, kubernetes, redactor, shell, tailscale_api, tailscale_status, workflow,);

#[test]
fn every_target_has_a_test() {
    let names = TARGETS.iter().map(|target| target.name).collect::<BTreeSet<_>>();
    assert_eq!(names, TESTED.iter().copied().collect());
}

#[test]
fn the_corpus_of_accepted_texts_is_accepted() {
    // A corpus that every reader refuses at its first character tests nothing.
    let read = |target: &str, file: &str| fs::read_to_string(corpus_folder(target).join(file)).unwrap();
    workflow::parse("w.yaml", &read("workflow", "steps.yaml")).into_result().unwrap();
    Expression::parse(&read("expression", "functions.cel")).unwrap();
    GivenInputs::parse("i.yaml", &read("inputs", "values.yaml")).unwrap();
    let plan = journaled_plan();
    let mut state = RunState::new(&plan);
    for line in read("journal", "run.jsonl").lines() {
        state.apply(UnixMillis(1), &serde_json::from_str(line).unwrap()).unwrap();
    }
}
