use serde_json::json;

use super::fixtures::{StepResults, checked, index, mistakes, mistakes_among, plan, plan_among};
use crate::plan::{CompiledPlan, FORMAT, FailureGroup};

/// Returns a workflow with a step `a` that may fail and has these further fields, and these steps.
fn workflow(more: &str, steps: &[&str]) -> String {
    let first = format!("  a: {{uses: net.network.ensure, allow_failure: true, {more} with: {{name: x}}}}\n");
    format!("name: w\nsteps:\n{first}  {}\n", steps.join("\n  "))
}

const INNER: &str = "name: inner\nsteps:\n  one: {uses: net.network.ensure, with: {name: x}}\n  two: {uses: test.nop.run, needs: [one]}\noutputs: {id: \"${{ steps.one.outputs.id }}\"}\n";

#[test]
fn a_plan_knows_the_groups_that_a_failure_does_not_leave() {
    let text = "name: w\nsteps:\n  a: {uses: test.nop.run, allow_failure: true}\n  sub: {workflow: inner.yaml, allow_failure: true}\n  last: {uses: test.nop.run}\n";
    let made = plan_among(&[("inner.yaml", INNER)], text, json!({}));
    assert_eq!(made.format, FORMAT);
    let scope = made.scopes.iter().position(|scope| scope.prefix == "sub/").expect("the inlined workflow");
    let groups = |name: &str| {
        made.failure_groups(made.steps.iter().position(|step| step.name == name).expect("a step of that name"))
    };
    assert_eq!(groups("a"), [FailureGroup::Step(0)]);
    assert_eq!(groups("sub/one"), [FailureGroup::Scope(scope)]);
    assert_eq!(groups("last"), []);
    let looped = "name: w\nsteps:\n  sub: {workflow: inner.yaml, for_each: [x, y], as: one, allow_failure: true}\n";
    let made = plan_among(&[("inner.yaml", INNER)], looped, json!({}));
    let of = |at: usize| made.failure_groups(at).len();
    assert_eq!((of(0), made.failure_groups(0) == made.failure_groups(2)), (1, false), "an instance is a group");
    assert_eq!(plan("name: w\nsteps: {a: {uses: test.nop.run}}\n", json!({})).format, 1);
}

#[test]
fn the_failure_of_a_step_can_be_read_if_the_workflow_allows_it() {
    let read = "b: {uses: test.note.write, with: {value: \"${{ steps.a.failed || !has(steps.a.outputs.id) }}\"}}";
    let compiled = CompiledPlan::new(plan(&workflow("", &[read]), json!({})).into()).expect("a plan");
    let value = |results: &StepResults| compiled.input(index(&compiled, "b"), None, results).ok();
    assert_eq!(value(&StepResults::default().fail(&compiled, "a")), Some(json!({"value": true})));
    let good = StepResults::default().with(&compiled, "a", json!({"id": "i"}));
    assert_eq!(value(&good), Some(json!({"value": false})));
    let refused =
        "name: w\nsteps:\n  a: {uses: test.nop.run}\n  b: {uses: test.nop.run, when: \"${{ steps.a.failed }}\"}\n";
    let expected =
        "4:46 nothing that reads it starts once step \"a\" has failed; add `allow_failure: true` to step \"a\"";
    assert_eq!(mistakes(refused), [expected]);
    let inlined = "name: w\nsteps:\n  sub: {workflow: inner.yaml}\n  b: {uses: test.nop.run, when: \"${{ steps.sub.failed }}\"}\n";
    assert_eq!(mistakes_among(&[("inner.yaml", INNER)], inlined).len(), 1);
}

#[test]
fn an_output_of_a_failed_step_has_no_value_and_names_the_step() {
    let read = "b: {uses: test.note.write, with: {value: \"${{ steps.a.outputs.id }}\"}}";
    let text = format!("{}outputs: {{id: \"${{{{ steps.a.outputs.id }}}}\"}}\n", workflow("", &[read]));
    let compiled = CompiledPlan::new(plan(&text, json!({})).into()).expect("a plan");
    let failed = StepResults::default().fail(&compiled, "a");
    let error = compiled.input(index(&compiled, "b"), None, &failed).expect_err("no output");
    assert!(error.to_string().contains("step \"a\" has failed or was not executed, and has no outputs"), "{error}");
    let outputs = compiled.outputs(&failed).expect("outputs");
    assert_eq!(serde_json::to_value(outputs).expect("JSON"), json!({"id": null}));
}

#[test]
fn a_step_that_reads_outputs_of_a_step_that_may_fail_has_a_warning_unless_it_checks() {
    let warnings = |more: &str, step: &str| {
        let checked = checked(&workflow(more, &[step]));
        checked.warnings().iter().map(|warning| warning.message.clone()).collect::<Vec<_>>()
    };
    let read =
        |when: &str| format!("b: {{uses: test.note.write, {when} with: {{value: \"${{{{ steps.a.outputs.id }}}}\"}}}}");
    let expected = "step \"b\" fails if \"a\" has failed: it reads its outputs";
    assert_eq!(warnings("", &read("")), [expected]);
    assert_eq!(warnings("", &read("when: \"${{ !steps.a.failed }}\",")), [""; 0]);
    assert_eq!(warnings("", &read("when: \"${{ has(steps.a.outputs.id) }}\",")), [""; 0]);
    assert_eq!(warnings("when: \"${{ run.changed }}\",", &read("when: \"${{ !steps.a.skipped }}\",")), [expected]);
}

#[test]
fn allow_failure_excludes_what_stops_a_loop_at_a_failure() {
    for key in ["fail_fast: true", "max_failures: 2"] {
        let text =
            format!("name: w\nsteps:\n  a: {{uses: test.nop.run, for_each: [x], as: y, allow_failure: true, {key}}}\n");
        let name = key.split(':').next().expect("a key");
        let hint = "remove one of them: with allow_failure, no failure stops the other instances";
        assert_eq!(mistakes(&text), [format!("3:70 {name} and allow_failure exclude each other; {hint}")]);
    }
    let text = "name: w\nsteps:\n  a: {uses: test.nop.run, allow_failure: maybe}\n";
    assert_eq!(mistakes(text), ["3:42 allow_failure must be true or false, this is text"]);
}
