use serde_json::json;

use super::fixtures::{InlineFiles, checked, checked_among, lines, mistakes_among, plan_among};

const STEPS: &str = "steps: {a: {uses: test.note.write, with: {value: '${{ inputs.cluster }}'}}}\n";
const INNER: &str = "name: inner
inputs: {cluster: {type: string}, zone: {type: integer, default: 1}}
locks: ['cluster/${{ inputs.cluster }}', 'zone/${{ inputs.zone }}']
steps: {a: {uses: test.note.write, with: {value: '${{ inputs.cluster }} ${{ inputs.zone }}'}}}
";

fn locks(files: &InlineFiles<'_>, text: &str, cluster: &str) -> Vec<String> {
    plan_among(files, text, json!({ "cluster": cluster })).locks
}

#[test]
fn locks_are_evaluated_with_the_inputs() {
    let text = format!(
        "name: w\ninputs: {{cluster: {{type: string}}}}\nlocks: [fixed, 'cluster/${{{{ inputs.cluster }}}}', '${{{{ inputs.cluster }}}}']\n{STEPS}"
    );
    assert_eq!(locks(&[], &text, "c"), ["fixed", "cluster/c", "c"]);
    assert_eq!(locks(&[], &text, "fixed"), ["fixed", "cluster/fixed"], "equal locks are one lock");
}

#[test]
fn a_plan_without_locks_has_no_locks_in_its_json() {
    let text = format!("name: w\ninputs: {{cluster: {{type: string}}}}\n{STEPS}");
    let plan = plan_among(&[], &text, json!({ "cluster": "c" }));
    assert!(!serde_json::to_string(&plan).expect("JSON").contains("locks"));
}

#[test]
fn a_run_holds_the_locks_of_inlined_workflows() {
    let text = "name: outer
inputs: {cluster: {type: string}}
locks: ['cluster/${{ inputs.cluster }}']
steps:
  first: {workflow: inner.yaml, with: {cluster: '${{ inputs.cluster }}'}}
  second: {workflow: inner.yaml, with: {cluster: 'other-${{ inputs.cluster }}', zone: 2}}
";
    let files = [("inner.yaml", INNER)];
    assert_eq!(locks(&files, text, "c"), ["cluster/c", "zone/1", "cluster/other-c", "zone/2"]);
}

#[test]
fn an_outline_shows_locks_as_they_are_written() {
    let text = "name: outer\nsteps: {in: {workflow: inner.yaml, with: {cluster: c}}}\n";
    let outline = checked_among(&[("inner.yaml", INNER)], text).outline();
    assert_eq!(outline.locks, ["cluster/${{ inputs.cluster }}", "zone/${{ inputs.zone }}"]);
}

#[test]
fn a_lock_can_use_inputs_only() {
    let hint = "locks are acquired before the run starts; pass the value as an input";
    let text = "name: w
locks: ['a/${{ steps.a.outputs.value }}', 'run/${{ run.id }}']
steps: {a: {uses: test.note.write, with: {value: x}}}
";
    let expected =
        [format!("2:16 a lock can use inputs only; {hint}"), format!("2:52 a lock can use inputs only; {hint}")];
    assert_eq!(mistakes_among(&[], text), expected);
    let text = "name: outer
steps:
  a: {uses: test.note.write, with: {value: x}}
  in: {workflow: inner.yaml, with: {cluster: 'c-${{ steps.a.outputs.value }}'}}
";
    let expected =
        [format!("4:53 a lock of the workflow \"inner\" depends on this value, so it can use inputs only; {hint}")];
    assert_eq!(mistakes_among(&[("inner.yaml", INNER)], text), expected);
}

#[test]
fn an_invalid_lock_is_reported_with_its_place() {
    let name = "a lock has 1 to 200 bytes and no control characters";
    let hint = "name what only one run may use at a time, such as cluster/${{ inputs.cluster }}";
    let rest = "steps: {a: {uses: test.nop.run}}\n";
    let check = |locks: &str, expected: &[&str]| {
        assert_eq!(mistakes_among(&[], &format!("name: w\nlocks: {locks}\n{rest}")), expected, "{locks}");
    };
    check("cluster", &["2:8 locks must be a list of texts such as [\"cluster/${{ inputs.cluster }}\"], this is text"]);
    check("[5]", &["2:9 a lock must be text, this is a number"]);
    check("['']", &[&format!("2:9 \"\" cannot be a lock: {name}; {hint}")]);
    check("['${{ inputs.nope }}']", &["2:21 there is no input \"nope\"; add it to `inputs`"]);
}

#[test]
fn a_lock_without_value_is_reported_before_the_run() {
    let text = "name: w
inputs: {list: {type: array, items: {type: string}}}
locks: ['${{ inputs.list[0] }}']
steps: {a: {uses: test.nop.run}}
";
    let with = |list: serde_json::Value| {
        let inputs = [("list".to_owned(), list)].into_iter().collect();
        match checked(text).plan(inputs) {
            Ok(plan) => plan.locks,
            Err(diagnostics) => lines(&diagnostics),
        }
    };
    assert_eq!(with(json!(["a"])), ["a"]);
    assert_eq!(with(json!([])), ["3:9 the lock has no value: the list has 0 items, there is no [0]"]);
    assert!(with(json!(["a\nb"]))[0].contains("cannot be a lock"));
}
