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

/// Returns the warnings about a workflow with the input `go`, a step `a` with a condition and
/// these steps, as `line:column message`.
fn skip_warnings(condition: &str, steps: &[&str]) -> Vec<String> {
    let head = "name: w\ninputs: {go: {type: boolean}, on: {type: boolean, default: true}}\nsteps:\n";
    let used = "  used: {uses: test.note.write, with: {value: \"${{ inputs.on && inputs.go }}\"}}\n";
    let first = format!("  a: {{uses: net.network.ensure, when: \"${{{{ {condition} }}}}\", with: {{name: x}}}}\n");
    let text = format!("{head}{used}{first}  {}\n", steps.join("\n  "));
    let checked = checked_among(&[], &text);
    let line = |d: &crate::workflow::Diagnostic| format!("{}:{} {}", d.span.line, d.span.column, d.message);
    checked.warnings().iter().map(line).collect()
}

fn reader(name: &str, when: &str, value: &str) -> String {
    let when = if when.is_empty() { String::new() } else { format!("when: \"${{{{ {when} }}}}\", ") };
    format!("{name}: {{uses: test.note.write, {when}with: {{value: \"${{{{ {value} }}}}\"}}}}")
}

#[test]
fn a_step_that_reads_outputs_of_a_step_with_a_condition_has_a_warning() {
    let expected =
        |name: &str, place: &str| format!("{place} step {name:?} fails if \"a\" is skipped: it reads its outputs");
    let found = skip_warnings("inputs.go", &[&reader("b", "", "steps.a.outputs.id + steps.a.outputs.name")]);
    assert_eq!(found, [expected("b", "6:49")]);
    let found = skip_warnings("inputs.go", &[&reader("b", "steps.a.outputs.size > 1", "1")]);
    assert_eq!(found, [expected("b", "6:41")]);
    let found = skip_warnings("inputs.go && inputs.on", &[&reader("b", "inputs.on", "steps.a.outputs.id")]);
    assert_eq!(found.len(), 1, "the condition of a is stricter");
}

#[test]
fn a_step_that_checks_for_the_skipped_step_or_has_its_condition_has_no_warning() {
    let check = |condition: &str, steps: &[&str]| {
        assert_eq!(skip_warnings(condition, steps), [""; 0], "{condition} {steps:?}");
    };
    let read = "steps.a.outputs.id";
    check("inputs.go", &[&reader("b", "", "steps.a.skipped ? 'none' : steps.a.outputs.id")]);
    check("inputs.go", &[&reader("b", "", "has(steps.a.outputs.id) ? steps.a.outputs.id : ''")]);
    check("inputs.go", &[&reader("b", "!steps.a.skipped", read)]);
    check("inputs.go", &[&reader("b", "inputs.go", read)]);
    check("inputs.go", &[&reader("b", "inputs.on && inputs.go", read)]);
    check("inputs.go || inputs.on", &[&reader("b", "(inputs.on) && run.id != ''", read)]);
    let other = reader("other", "inputs.go", "1");
    check("inputs.go", &[&other, &reader("b", "!steps.other.skipped", read)]);
    // An output that needs a skipped step is null.
    check("inputs.go", &["b: {uses: test.nop.run, needs: [a]}\noutputs: {id: \"${{ steps.a.outputs.id }}\"}"]);
}
