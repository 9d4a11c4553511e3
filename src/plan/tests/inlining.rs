use std::sync::Arc;

use serde_json::json;

use super::fixtures::{StepResults, index, mistakes_among, plan_among};
use crate::plan::CompiledPlan;

const INNER: &str = "name: inner
inputs:
  name: {type: string}
  size: {type: integer, default: 4}
steps:
  make:
    uses: net.network.ensure
    with: {name: '${{ inputs.name }}', size: '${{ inputs.size }}'}
  note:
    uses: test.note.write
    needs: [make]
    when: ${{ inputs.size > 3 }}
    with: {value: '${{ run.workflow }} ${{ inputs.name }}'}
outputs:
  id: ${{ steps.make.outputs.id }}
  label: '${{ inputs.name }}-${{ inputs.size }}'
  whole: {id: '${{ steps.make.outputs.id }}', n: 1}
";

const OUTER: &str = "name: outer
inputs:
  go: {type: boolean}
steps:
  first: {uses: test.note.write, with: {value: x}}
  sub:
    workflow: inner.yaml
    needs: [first]
    when: ${{ inputs.go }}
    with: {name: 'n-${{ steps.first.outputs.value }}'}
  last:
    uses: test.note.write
    with: {value: '${{ steps.sub.outputs.label }} ${{ steps.sub.outputs.whole.n }}'}
  very_last:
    uses: test.note.write
    needs: [sub]
    with: {value: '${{ steps.sub.outputs.id }}'}
outputs:
  id: ${{ steps.sub.outputs.id }}
  skipped: ${{ steps.sub.skipped }}
";

fn outer() -> CompiledPlan {
    let plan = plan_among(&[("inner.yaml", INNER)], OUTER, json!({"go": true}));
    CompiledPlan::new(Arc::new(plan)).expect("a valid plan")
}

#[test]
fn inlined_steps_replace_the_step() {
    let plan = outer();
    let steps: Vec<_> = plan.plan().steps.iter().map(|step| (step.name.as_str(), step.needs.clone())).collect();
    let expected = [
        ("first", vec![]),
        ("sub/make", vec![0]),
        ("sub/note", vec![0, 1]),
        // They need only the steps that the outputs depend on.
        ("last", vec![0, 1]),
        ("very_last", vec![1, 2]),
    ];
    assert_eq!(steps, expected);
}

#[test]
fn inputs_and_outputs_are_passed() {
    let plan = outer();
    let results =
        StepResults::default().with(&plan, "first", json!({"value": "x"})).with(&plan, "sub/make", json!({"id": "/n"}));
    let input = |step: &str| plan.input(index(&plan, step), None, &results).expect("an input");
    assert_eq!(input("sub/make"), json!({"name": "n-x", "size": 4}));
    assert_eq!(input("sub/note"), json!({"value": "outer n-x"}));
    assert_eq!(input("last"), json!({"value": "n-x-4 1"}));
    assert_eq!(input("very_last"), json!({"value": "/n"}));
    let outputs = plan.outputs(&results).expect("outputs");
    assert_eq!(serde_json::to_value(outputs).expect("JSON"), json!({"id": "/n", "skipped": false}));
}

#[test]
fn a_condition_applies_to_all_inlined_steps() {
    let files = [("inner.yaml", INNER)];
    for (go, size, make, note) in [(true, 4, true, true), (true, 3, true, false), (false, 4, false, false)] {
        let text = OUTER.replace("with: {name:", &format!("with: {{size: {size}, name:"));
        let plan = CompiledPlan::new(Arc::new(plan_among(&files, &text, json!({"go": go})))).expect("a valid plan");
        let when = |step: &str| plan.when(index(&plan, step), &StepResults::default()).expect("a condition");
        assert_eq!((when("sub/make"), when("sub/note")), (make, note), "{go} {size}");
    }
}

#[test]
fn an_inlined_workflow_is_skipped_if_all_its_steps_are() {
    let plan = outer();
    let results = StepResults::default().skip(&plan, "sub/make").skip(&plan, "sub/note");
    let outputs = plan.outputs(&results).expect("outputs");
    assert_eq!(serde_json::to_value(outputs).expect("JSON"), json!({"id": null, "skipped": true}));
}

fn check(files: &[(&str, &str)], text: &str, expected: &[&str]) {
    assert_eq!(mistakes_among(files, text), expected);
}

#[test]
fn inputs_of_an_inlined_workflow_are_checked() {
    let files = [("inner.yaml", INNER)];
    let with = |with: &str| format!("name: o\nsteps:\n  sub:\n    workflow: inner.yaml\n    with: {{{with}}}\n");
    check(&files, &with("name: x"), &[]);
    check(&files, &with("size: 1"), &["3:3 the workflow \"inner\" needs the input \"name\""]);
    check(
        &files,
        &with("name: 1, sise: 2"),
        &[
            "5:18 input \"name\" of \"inner\" must be text, this is a whole number; put it in quotes",
            "5:21 the workflow \"inner\" has no input \"sise\"; did you mean \"size\"?",
        ],
    );
    check(
        &files,
        &with("name: x, size: '${{ run.id }}'"),
        &["5:32 input \"size\" of \"inner\" must be a whole number, run.id is text"],
    );
}

#[test]
fn outputs_of_an_inlined_workflow_are_typed() {
    let text = "name: o
steps:
  sub: {workflow: inner.yaml, with: {name: x}}
  b: {uses: net.network.ensure, with: {name: '${{ steps.sub.outputs.idd }}', size: '${{ steps.sub.outputs.id }}'}}
  c: {uses: test.note.write, with: {value: '${{ steps.sub.outputs.whole.m }}'}}
";
    check(
        &[("inner.yaml", INNER)],
        text,
        &[
            "4:69 step \"sub\" has no output \"idd\"; did you mean \"id\"?",
            "4:89 with.size must be a whole number, steps.sub.outputs.id is text",
            "5:73 steps.sub.outputs.whole has no field \"m\"; it has id and n",
        ],
    );
}

#[test]
fn a_mistake_in_an_inlined_file_is_reported_once_with_that_file() {
    let text = "name: o\nsteps:\n  a: {workflow: x.yaml}\n  b: {workflow: x.yaml}\n  c: {workflow: y.yaml}\n";
    check(
        &[("x.yaml", "name: x\nsteps:\n  a: {uses: test.nop.rnu}\n")],
        text,
        &[
            "5:17 the workflow \"y.yaml\" cannot be read: no such file",
            "x.yaml:3:13 there is no action \"test.nop.rnu\"; did you mean \"test.nop.run\"?",
        ],
    );
}

#[test]
fn a_workflow_cannot_inline_itself() {
    let files = [
        ("a.yaml", "name: a\nsteps:\n  b: {workflow: b.yaml}\n"),
        ("b.yaml", "name: b\nsteps:\n  a: {workflow: a.yaml}\n"),
    ];
    check(
        &files,
        "name: o\nsteps:\n  a: {workflow: a.yaml}\n",
        &["b.yaml:3:17 the workflow inlines itself: test.yaml → a.yaml → b.yaml → a.yaml"],
    );
}

#[test]
fn a_cycle_through_an_inlined_workflow_is_found() {
    let text = "name: o\nsteps:\n  sub: {workflow: inner.yaml, with: {name: '${{ steps.b.outputs.value }}'}}\n  b: {uses: test.note.write, with: {value: '${{ steps.sub.outputs.id }}'}}\n";
    check(
        &[("inner.yaml", INNER)],
        text,
        &["4:49 steps depend on each other in a cycle: sub → b → sub; an arrow means \"needs\"; remove one of them"],
    );
    let text = "name: o\nsteps:\n  sub: {workflow: inner.yaml, with: {name: '${{ steps.sub.outputs.label }}'}}\n";
    check(&[("inner.yaml", INNER)], text, &["3:49 step \"sub\" depends on itself; a step cannot use its own outputs"]);
}

#[test]
fn keys_of_actions_are_refused_for_an_inlined_workflow() {
    let text = "name: o\nsteps:\n  a: {workflow: inner.yaml, with: {name: x}, approval: 'Start?', timeout: 1s}\n";
    check(
        &[("inner.yaml", INNER)],
        text,
        &[
            "3:46 approval cannot be used with workflow; set it on the steps of the inlined workflow",
            "3:66 timeout cannot be used with workflow; set it on the steps of the inlined workflow",
        ],
    );
}
