use super::fixtures::{InlineFiles, checked_among};

/// Checks a workflow with a list and these steps. `expected` are the steps with a warning, each
/// with the loop that hides a failure from it and the step that has failed.
fn check_among(files: &InlineFiles<'_>, steps: &[&str], expected: &[[&str; 3]]) {
    let head = "name: w\ninputs: {list: {type: array, items: {type: string}}}\nsteps:\n";
    let text = format!("{head}  {}\n", steps.join("\n  "));
    let checked = checked_among(files, &text);
    let found: Vec<_> = checked.warnings().iter().map(|warning| warning.message.clone()).collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|[step, each, failed]| {
            format!("step {step:?} can start although {failed:?} has failed: between them is only the loop {each:?}, which can have no items")
        })
        .collect();
    assert_eq!(found, expected, "{text}");
}

fn check(steps: &[&str], expected: &[[&str; 3]]) {
    check_among(&[], steps, expected);
}

const FIRST: &str = "a: {uses: net.network.ensure, with: {name: x}}";
const LOOP: &str = "each: {uses: test.nop.run, needs: [a], for_each: \"${{ inputs.list }}\", as: x}";

#[test]
fn a_step_that_needs_another_only_through_a_loop_has_a_warning() {
    check(&[FIRST, LOOP, "b: {uses: test.nop.run, needs: [each]}"], &[["b", "each", "a"]]);
    let second = "more: {uses: test.nop.run, needs_each: [each], for_each: \"${{ inputs.list }}\", as: x}";
    check(&[FIRST, LOOP, second, "b: {uses: test.nop.run, needs: [more]}"], &[["b", "more", "a"]]);
    let inner = "name: inner\nsteps: {b: {uses: test.nop.run}}\n";
    check_among(
        &[("inner.yaml", inner)],
        &[FIRST, LOOP, "in: {workflow: inner.yaml, needs: [each]}"],
        &[["b", "each", "a"]],
    );
}

#[test]
fn a_step_that_receives_the_failure_or_ignores_it_has_no_warning() {
    check(&[FIRST, LOOP, "b: {uses: test.nop.run, needs: [a, each]}"], &[]);
    check(&[FIRST, LOOP, "b: {uses: test.nop.run, after: [each]}"], &[]);
    check(&[FIRST, LOOP, "b: {uses: test.nop.run, needs: [a]}", "c: {uses: test.nop.run, needs: [b, each]}"], &[]);
    let of_output =
        "each: {uses: test.nop.run, for_each: \"${{ steps.a.outputs.subnets }}\", as: x, key: \"${{ x.name }}\"}";
    let last = "b: {uses: test.nop.run, needs: [each], when: \"${{ size(inputs.list) > 0 }}\"}";
    check(&[FIRST, of_output, last], &[]);
    let second = "more: {uses: test.nop.run, needs: [each], for_each: \"${{ inputs.list }}\", as: x}";
    check(&[FIRST, LOOP, second], &[]);
}
