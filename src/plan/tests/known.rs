//! Errors of steps that are known before a run.

use serde_json::{Value, json};

use super::fixtures::{InlineFiles, check_among, lines, map, mistakes};
use crate::workflow::GivenInputs;

/// Returns a workflow with the inputs `items` and `n`, and these steps.
fn workflow(steps: &str) -> String {
    let inputs = "inputs:\n  items: {type: array, default: []}\n  n: {type: integer, default: 1}\n";
    let used = "  used: {uses: test.note.write, with: {value: \"${{ size(inputs.items) + inputs.n }}\"}}\n";
    format!("name: w\n{inputs}steps:\n{used}{steps}")
}

/// Returns the errors that are known with these inputs.
fn known_among(files: &InlineFiles<'_>, steps: &str, inputs: Value) -> Vec<String> {
    let checked = check_among(files, &workflow(steps)).unwrap_or_else(|e| panic!("{:#?}", lines(&e)));
    let plan = checked.plan(map(inputs)).unwrap_or_else(|e| panic!("{:#?}", lines(&e)));
    checked.errors_before_run(&plan, &GivenInputs::default()).map(|found| lines(&found)).unwrap_or_default()
}

fn known(steps: &str, inputs: Value) -> Vec<String> {
    known_among(&[], steps, inputs)
}

const EACH: &str =
    "  a: {uses: test.note.write, for_each: \"${{ inputs.items }}\", as: x, with: {value: \"${{ x }}\"}}\n";

#[test]
fn keys_of_inputs_are_checked_before_a_run() {
    let unique = "7:45 two items have the key \"b\", keys must be unique; remove one of the items, or add a `key` that is different for each";
    assert_eq!(known(EACH, json!({"items": ["b", "c", "b"]})), [unique]);
    let rule = "a key has 1 to 200 bytes and neither brackets nor control characters";
    let brackets = format!("7:45 the expression x has no value: \"a[b]\" cannot be a key: {rule}");
    assert_eq!(known(EACH, json!({"items": ["a[b]"]})), [brackets]);
    assert_eq!(known(EACH, json!({"items": ["a", "b"]})), [""; 0]);
    let skipped = EACH.replace("as: x,", "as: x, when: \"${{ inputs.n > 1 }}\",");
    assert_eq!(known(&skipped, json!({"items": ["b", "b"]})), [""; 0]);
    assert_eq!(known(&skipped, json!({"items": ["b", "b"], "n": 2})).len(), 1);
    let may_skip = EACH.replace("as: x,", "as: x, when: \"${{ steps.used.skipped }}\",");
    assert_eq!(known(&may_skip, json!({"items": ["b", "b"]})), [""; 0], "whether the step runs is not known");
}

#[test]
fn an_expression_of_inputs_without_value_is_found_before_a_run() {
    let step = "  a: {uses: test.note.write, with: {value: \"${{ 10 / inputs.n }}\"}}\n";
    assert_eq!(known(step, json!({})), [""; 0]);
    let expected = "7:49 the expression 10 / inputs.n has no value: Division by zero of Int(10)";
    assert_eq!(known(step, json!({"n": 0})), [expected]);
    let both = "  a: {uses: test.note.write, with: {value: \"${{ 10 / inputs.n + size(steps.used.outputs) }}\"}}\n";
    assert_eq!(known(both, json!({"n": 0})), [""; 0], "the outputs are not known");
    let inner = "name: inner\ninputs: {m: {type: integer}}\nsteps:\n  b: {uses: test.note.write, with: {value: \"${{ 1 / inputs.m }}\"}}\n";
    let outer = "  in: {workflow: inner.yaml, with: {m: \"${{ inputs.n - 1 }}\"}}\n";
    let found = known_among(&[("inner.yaml", inner)], outer, json!({}));
    assert_eq!(found, ["inner.yaml:4:49 the expression 1 / inputs.m has no value: Division by zero of Int(1)"]);
    assert_eq!(known_among(&[("inner.yaml", inner)], outer, json!({"n": 2})), [""; 0]);
}

#[test]
fn constants_without_value_are_found_without_inputs() {
    let twice = EACH.replace("${{ inputs.items }}", "${{ ['b', 'c', 'b'] }}");
    let found = mistakes(&workflow(&twice));
    assert!(found.len() == 1 && found[0].starts_with("7:45 two items have the key \"b\""), "{found:?}");
    let step =
        |value: &str| workflow(&format!("  a: {{uses: test.note.write, with: {{value: \"${{{{ {value} }}}}\"}}}}\n"));
    for value in ["1 / 0", "inputs.n % 0", "inputs.n > 1 ? 1 : 2 / 0"] {
        let found = mistakes(&step(value));
        assert!(found.len() == 1 && found[0].ends_with("division by zero"), "{value}: {found:?}");
    }
    assert_eq!(mistakes(&step("10 / inputs.n")), [""; 0]);
    let step = "  a: {uses: test.note.write, with: {value: \"${{ [1][2] }}\"}}\n";
    assert!(known(step, json!({}))[0].contains("has no value"));
}
