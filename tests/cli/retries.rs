use crate::program::{Program, ProgramOutput};

/// Workflow with a step whose result is kept, and one after it.
const WORKFLOW: &str = r"
name: waits
inputs:
  n: {type: integer}
steps:
  first:
    uses: core.wait
    with: {duration: 1ms}
  other:
    uses: core.wait
    with: {duration: 1ms}
  check:
    uses: core.assert
    needs: [first]
    with: {that: '${{ inputs.n > 0 }}', message: n is too small}
  last:
    uses: core.wait
    needs: [check]
    with: {duration: 1ms}
finally:
  told:
    uses: core.assert
    with: {that: true, message: never}
";

fn started(program: &Program, step: &str) -> usize {
    let shown = program.expect(0, &["history", "@latest", "-o", "json"]).json();
    let entries = shown["entries"].as_array().unwrap();
    entries.iter().filter(|entry| entry["started"]["step"] == step).count()
}

fn ran(n: &str) -> (Program, ProgramOutput) {
    let program = Program::new();
    program.write("waits.yaml", WORKFLOW);
    let code = if n == "n=0" { 3 } else { 0 };
    let ran = program.expect(code, &["run", "workflow", "waits.yaml", "-i", n]);
    (program, ran)
}

#[test]
fn a_step_of_a_run_that_has_succeeded_is_executed_again_with_all_that_depends_on_it() {
    let (program, _) = ran("n=1");
    let refused = program.expect(64, &["retry", "@latest", "first"]);
    assert!(refused.err.contains("  executed again: check, first, last\n  kept: other\n"), "{refused:?}");
    assert_eq!(refused.hint(), "add `--yes` to execute these steps again");
    let preview = program.expect(2, &["retry", "@latest", "first", "-o", "json"]).json();
    assert_eq!(preview["again"], serde_json::json!(["check", "first", "last"]), "{preview}");
    assert_eq!(started(&program, "first"), 1, "a preview changes nothing");
    program.expect(0, &["retry", "@latest", "first", "--yes"]);
    let counts = ["first", "other", "check", "last", "told"].map(|step| started(&program, step));
    assert_eq!(counts, [2, 1, 2, 2, 2], "the run has a second end");
    let history = program.expect(0, &["history", "@latest"]);
    assert!(history.out.contains("run reopened: check, first, last to be executed again"), "{history:?}");
    program.expect(0, &["retry", "@latest", "last", "--yes"]);
    assert_eq!(started(&program, "last"), 3);
}

#[test]
fn a_step_before_the_failure_is_executed_again_and_other_results_are_kept() {
    let (program, _) = ran("n=0");
    program.expect(3, &["resume", "@latest"]);
    assert_eq!(["first", "check"].map(|step| started(&program, step)), [1, 2], "a resumed run keeps the result");
    program.expect(3, &["retry", "@latest", "first", "--yes"]);
    assert_eq!(["first", "other", "check"].map(|step| started(&program, step)), [2, 1, 3]);
}

#[test]
fn a_step_that_cannot_be_executed_again_is_refused() {
    let (program, _) = ran("n=1");
    let unknown = program.expect(64, &["retry", "@latest", "nothing", "--yes"]);
    assert!(unknown.err.contains("the run has no step \"nothing\""), "{unknown:?}");
    let last = program.expect(64, &["retry", "@latest", "told", "--yes"]);
    assert!(last.err.contains("step \"told\" is under finally, and runs at the end of the run"), "{last:?}");
    program.expect(0, &["retry", "@latest", "first", "--yes"]);
}

#[test]
fn nothing_of_a_cancelled_run_is_executed_again() {
    let (program, _) = ran("n=0");
    program.expect(0, &["cancel", "@latest"]);
    let refused = program.expect(4, &["retry", "@latest", "first", "--yes"]);
    assert!(refused.err.contains("was cancelled and cannot be resumed"), "{refused:?}");
}
