use crate::{fake, program::Program};

/// Each generic action in one workflow; `n` decides which of them fails.
const WORKFLOW: &str = r"
name: generic
inputs:
  n: {type: integer}
  url: {type: string}
steps:
  limit:
    uses: core.assert
    with:
      that: ${{ inputs.n < 3 }}
      message: ${{ inputs.n }} machines are too many
      hint: give at most 2
  refused:
    uses: core.fail
    needs: [limit]
    when: ${{ inputs.n == 2 }}
    with: {message: two is refused}
  call:
    uses: http.request
    needs: [refused]
    with:
      url: ${{ inputs.url }}/status
      expect: {status: [200], contains: ready}
  pause:
    uses: core.wait
    needs: [call]
    with: {duration: 20ms}
outputs:
  state: ${{ steps.call.outputs.json.state }}
";

#[test]
fn generic_actions_assert_fail_request_and_wait() {
    let url = fake::serve(|_| (r#"{"state":"ready"}"#.into(), String::new()));
    let program = Program::new();
    program.write("generic.yaml", WORKFLOW);
    let arguments = |command: &[&str], n: u32| {
        let given = ["generic.yaml", "-i", &format!("n={n}"), "-i", &format!("url={url}")].map(str::to_owned);
        command.iter().map(|&word| word.to_owned()).chain(given).collect::<Vec<_>>()
    };
    let ran = |code: i32, command: &[&str], n: u32| {
        let arguments = arguments(command, n);
        program.expect(code, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let good = ran(0, &["run", "workflow"], 1);
    let id = program.expect(0, &["history", "-o", "json"]).json()["runs"][0]["run"].as_str().unwrap().to_owned();
    let shown = program.expect(0, &["history", &id.to_lowercase()[..20], "-o", "json"]).json();
    assert_eq!(shown["run"], id.as_str());
    assert!(good.out.contains("state: ready"), "{good:?}");
    ran(0, &["plan"], 1);
    let many = ran(3, &["run", "workflow"], 3);
    assert!(many.err.contains("3 machines are too many") && many.err.contains("give at most 2"), "{many:?}");
    let planned = ran(3, &["plan"], 3);
    assert!(format!("{}{}", planned.out, planned.err).contains("3 machines are too many"), "{planned:?}");
    let refused = ran(3, &["run", "workflow"], 2);
    // Both ids begin with the same hours.
    let both = program.expect(64, &["history", &id[..4]]);
    assert!(both.err.contains("runs begin with"), "{both:?}");
    program.expect(64, &["history", "0123"]);
    assert!(refused.err.contains("two is refused"), "{refused:?}");
}
