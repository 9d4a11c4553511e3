use serde_json::Value;

use crate::program::{Program, RunningProgram};

/// Workflow whose steps under `finally` check the outcome, and one of which needs an output.
const WORKFLOW: &str = r"
name: closing
inputs:
  n: {type: integer}
  wait: {type: string, default: 1ms}
  outcome: {type: string, default: succeeded}
steps:
  hold:
    uses: core.wait
    with: {duration: '${{ inputs.wait }}'}
  late:
    uses: core.assert
    needs: [hold]
    with: {that: '${{ inputs.n < 2 }}', message: n is too large}
finally:
  told:
    uses: core.assert
    with: {that: '${{ run.outcome == inputs.outcome }}', message: 'the outcome is ${{ run.outcome }}'}
  cleanup:
    uses: core.assert
    with: {that: '${{ steps.late.outputs == steps.late.outputs }}', message: wrong}
  last:
    uses: core.assert
    after: [told]
    with: {that: '${{ steps.late.failed || run.outcome != ''failed'' }}', message: wrong}
";

fn program() -> Program {
    let program = Program::new();
    program.write("closing.yaml", WORKFLOW);
    program
}

fn arguments<'a>(inputs: &[&'a str]) -> Vec<&'a str> {
    ["run", "workflow", "closing.yaml"].into_iter().chain(inputs.iter().flat_map(|&input| ["-i", input])).collect()
}

/// Returns the kinds of the entries of the latest run with their steps, such as `succeeded told`.
fn entries(program: &Program) -> Vec<String> {
    let shown = program.expect(0, &["history", "@latest", "-o", "json"]).json();
    let line = |entry: &Value| {
        let entry = entry.as_object().unwrap();
        let kind = entry.keys().find(|key| *key != "at").unwrap();
        format!("{kind} {}", entry[kind]["step"].as_str().unwrap_or_default()).trim().to_owned()
    };
    let with_body = |entry: &&Value| !entry.to_string().contains("run_reopened");
    shown["entries"].as_array().unwrap().iter().filter(with_body).map(line).collect()
}

/// Starts a run that waits in its first step.
fn waiting(program: &Program) -> RunningProgram {
    let mut running = program.spawn(&arguments(&["n=1", "wait=5m", "outcome=cancelled"]));
    running.read_until("hold");
    running
}

#[test]
fn steps_under_finally_run_after_success_and_after_failure_and_hide_nothing() {
    let program = program();
    let good = program.expect(0, &arguments(&["n=1"]));
    assert!(good.err.contains("all steps have ended (succeeded): steps under finally start"), "{good:?}");
    let bad = program.expect(3, &arguments(&["n=2", "outcome=other"]));
    let failures: Vec<&str> = bad.err.lines().filter(|line| line.starts_with("failed:")).collect();
    assert_eq!(failures.len(), 2, "{bad:?}");
    assert!(failures[0].contains("late: n is too large") && failures[1].contains("told: the outcome is failed"));
    let expected = [
        "run_created",
        "started hold",
        "succeeded hold",
        "started late",
        "failed late",
        "finally_started",
        "started told",
        "skipped cleanup",
        "failed told",
        "started last",
        "succeeded last",
        "run_finished",
    ];
    assert_eq!(entries(&program), expected, "a step that reads an output which does not exist is skipped");
    let why = program.expect(0, &["why", "@latest", "cleanup"]);
    assert!(why.out.contains("it reads an output that does not exist"), "{why:?}");
    program.expect(3, &["resume", "@latest"]);
    let again = entries(&program);
    assert_eq!(again.iter().filter(|entry| *entry == "started told").count(), 2, "the run has a second end");
    let graph = program.expect(0, &["graph", "closing.yaml"]);
    assert!(graph.out.contains("told     core.assert  at the end,\n"), "{graph:?}");
    let planned = program.expect(0, &["plan", "closing.yaml", "-i", "n=1"]);
    assert!(planned.out.contains("told     runs at the end, after success and failure"), "{planned:?}");
}

#[test]
fn a_failure_under_finally_fails_a_run_that_has_succeeded_and_only_it_is_tried_again() {
    let program = program();
    program.expect(3, &arguments(&["n=1", "outcome=failed"]));
    program.expect(3, &["resume", "@latest"]);
    let all = entries(&program);
    let count = |entry: &str| all.iter().filter(|each| *each == entry).count();
    assert_eq!(["started late", "started told", "started last", "finally_started"].map(count), [1, 2, 1, 1], "{all:?}");
}

#[test]
fn steps_under_finally_run_after_a_cancellation() {
    let program = program();
    let running = waiting(&program);
    program.expect(0, &["cancel"]);
    let ended = running.end();
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(entries(&program).contains(&"succeeded told".to_owned()), "{ended:?}");
}

#[test]
fn steps_under_finally_of_a_killed_run_run_when_it_is_cancelled() {
    let program = program();
    waiting(&program).kill();
    let ran = program.expect(0, &["cancel"]);
    assert!(ran.err.contains("steps under finally start"), "{ran:?}");
    assert!(entries(&program).contains(&"succeeded told".to_owned()), "{ran:?}");
    waiting(&program).kill();
    let ran = program.expect(0, &["cancel", "--skip-finally"]);
    assert!(!ran.err.contains("steps under finally start"), "{ran:?}");
    assert!(!entries(&program).contains(&"finally_started".to_owned()), "{ran:?}");
}
