use crate::program::Program;

/// Workflow with a step, a loop and an included workflow that may fail, and steps after them.
const WORKFLOW: &str = r"
name: optional
inputs:
  n: {type: integer}
steps:
  probe:
    uses: core.assert
    allow_failure: true
    with: {that: '${{ inputs.n > 1 }}', message: the probe is missing}
  each:
    uses: core.assert
    for_each: [1, 2]
    as: item
    allow_failure: true
    with: {that: '${{ item > inputs.n }}', message: too small}
  sub:
    workflow: sub.yaml
    allow_failure: true
    with: {n: '${{ inputs.n }}'}
  last:
    uses: core.assert
    needs: [probe]
    with: {that: '${{ inputs.n > 0 }}', message: nothing goes}
  told:
    uses: core.assert
    with:
      that: ${{ steps.probe.failed && steps.each.failed && steps.sub.failed && !has(steps.sub.outputs.x) }}
      message: the failures were not seen
outputs:
  failed: ${{ steps.probe.failed }}
";

const SUB: &str = r"
name: sub
inputs:
  n: {type: integer}
steps:
  first:
    uses: core.assert
    with: {that: '${{ inputs.n > 2 }}', message: the first step fails}
  second:
    uses: core.wait
    needs: [first]
    with: {duration: 1ms}
outputs:
  x: ${{ steps.second.outputs }}
";

#[test]
fn a_failure_that_is_allowed_is_a_warning_and_stops_only_its_own_group() {
    let program = Program::new();
    program.write("optional.yaml", WORKFLOW);
    program.write("sub.yaml", SUB);
    let ran = program.expect(0, &["run", "workflow", "optional.yaml", "-i", "n=1"]);
    assert!(ran.out.contains("failed: true"), "{ran:?}");
    let warnings: Vec<&str> = ran.err.lines().filter(|line| line.starts_with("warning:")).collect();
    let expected = [
        "warning: probe failed, which the workflow allows: the probe is missing (assertion_failed)",
        "warning: sub/first failed, which the workflow allows: the first step fails (assertion_failed)",
        "warning: each[1] failed, which the workflow allows: too small (assertion_failed)",
    ];
    assert_eq!(warnings, expected, "{ran:?}");
    assert!(!ran.err.contains("\nfailed:"), "{ran:?}");
    let why = program.expect(0, &["why", "@latest", "probe"]);
    assert!(why.out.contains("failed at attempt 1; its workflow allows that (allow_failure)"), "{why:?}");
    let why = program.expect(0, &["why", "@latest", "sub/second", "-o", "json"]).json();
    assert_eq!(why["steps"][0]["blocked_by"][0]["step"], "sub/first", "{why}");
    let failed = program.expect(3, &["run", "workflow", "optional.yaml", "-i", "n=0", "-o", "json"]);
    let result = failed.json_lines().into_iter().find(|event| event["event"] == "result").unwrap();
    assert_eq!(result["failures"][0]["step"], "last", "{result}");
    assert_eq!(result["warnings"].as_array().map(Vec::len), Some(2), "{result}");
}
