use serde_json::json;

use super::fixtures::{StepResults, checked, index, mistakes, mistakes_among, plan};
use crate::plan::{CompiledPlan, FORMAT};

/// Returns a workflow with a step `a` and these steps under `finally`.
fn workflow(last: &[&str]) -> String {
    let first = "  a: {uses: net.network.ensure, with: {name: x}}\n";
    format!("name: w\nsteps:\n{first}finally:\n  {}\n", last.join("\n  "))
}

#[test]
fn steps_under_finally_come_last_and_depend_on_each_other_only() {
    let read = "b: {uses: test.note.write, with: {value: \"${{ [steps.a.outputs.id, run.outcome] }}\"}}";
    let made = plan(&workflow(&["c: {uses: test.nop.run, needs: [b]}", read]), json!({}));
    let steps: Vec<_> =
        made.steps.iter().map(|step| (step.name.as_str(), step.is_finally, step.needs.clone())).collect();
    assert_eq!(steps, [("a", false, vec![]), ("b", true, vec![]), ("c", true, vec![1])]);
    assert_eq!(made.format, FORMAT);
    let compiled = CompiledPlan::new(made.into()).expect("a plan");
    let value = |results: &StepResults| compiled.input(index(&compiled, "b"), None, results);
    let good = StepResults::default().with(&compiled, "a", json!({"id": "i"})).end("succeeded");
    assert_eq!(value(&good).expect("a value"), json!({"value": ["i", "succeeded"]}));
    let error = value(&StepResults::default().end("cancelled")).expect_err("no output");
    assert!(error.is_absent(), "{error}");
}

#[test]
fn references_across_finally_are_errors_where_no_value_is_known() {
    let needs = workflow(&["b: {uses: test.nop.run, needs: [a]}"]);
    let expected = "5:35 step \"a\" is not under finally: all such steps have ended before; remove it: a step under finally waits for none of them";
    assert_eq!(mistakes(&needs), [expected]);
    let outcome = "name: w\nsteps:\n  a: {uses: test.nop.run, when: \"${{ run.outcome == 'failed' }}\"}\n";
    let expected = "3:42 the outcome of the run is known only to the steps under finally; move the step to `finally`";
    assert_eq!(mistakes(outcome), [expected]);
    let early = "name: w\nsteps:\n  a: {uses: test.nop.run, when: \"${{ steps.b.skipped }}\"}\nfinally:\n  b: {uses: test.nop.run}\n";
    assert_eq!(mistakes(early), ["3:38 step \"b\" is under finally, and starts when this step has ended"]);
    let same = workflow(&["a: {uses: test.nop.run}"]);
    assert!(mistakes(&same)[0].contains("there is a step \"a\" under steps, too"), "{:?}", mistakes(&same));
    let asking = workflow(&["b: {uses: test.nop.run, approval: \"Go?\"}"]);
    assert!(mistakes(&asking)[0].contains("approval cannot be used under finally"), "{:?}", mistakes(&asking));
}

#[test]
fn an_included_workflow_cannot_have_steps_under_finally_and_can_be_under_it() {
    let closing = "name: inner\nsteps: {one: {uses: test.nop.run}}\nfinally: {two: {uses: test.nop.run}}\n";
    let found = mistakes_among(&[("inner.yaml", closing)], "name: w\nsteps:\n  sub: {workflow: inner.yaml}\n");
    let expected =
        "3:19 the workflow \"inner\" has steps under finally (\"two\"), which only the workflow that is run can have";
    assert_eq!(found, [expected]);
    let plain = "name: inner\nsteps: {one: {uses: test.nop.run, when: \"${{ run.outcome == 'failed' }}\"}}\n";
    let text = "name: w\nsteps: {a: {uses: test.nop.run}}\nfinally:\n  sub: {workflow: inner.yaml}\n";
    let made = super::fixtures::plan_among(&[("inner.yaml", plain)], text, json!({}));
    assert_eq!((made.steps[1].name.as_str(), made.steps[1].is_finally), ("sub/one", true));
}

#[test]
fn a_step_under_finally_has_no_warning_about_outputs_that_may_not_exist() {
    let text = "name: w\nsteps:\n  a: {uses: net.network.ensure, allow_failure: true, with: {name: x}}\nfinally:\n  b: {uses: test.note.write, with: {value: \"${{ steps.a.outputs.id }}\"}}\n";
    assert!(checked(text).warnings().is_empty());
}
