use serde_json::{Value, json};

use super::fixtures::{checked_among, lines, map, mistakes};

const TEXT: &str = "name: w
inputs:
  machines: {type: array, items: {type: string}}
  limit: {type: integer, default: 2}
checks:
  - that: ${{ size(inputs.machines) <= inputs.limit }}
    message: ${{ size(inputs.machines) }} machines are more than ${{ inputs.limit }}
    hint: raise limit
  - {that: '${{ !(\"x\" in inputs.machines) }}', message: x is reserved}
steps:
  n: {uses: test.note.write, with: {value: '${{ inputs.machines }}'}}
";

fn planned(files: &[(&str, &str)], text: &str, inputs: Value) -> Vec<String> {
    match checked_among(files, text).plan(map(inputs)) {
        Ok(_) => Vec::new(),
        Err(diagnostics) => lines(&diagnostics),
    }
}

#[test]
fn checks_over_inputs_are_made_before_a_run() {
    let with = |machines: Value| planned(&[], TEXT, json!({ "machines": machines }));
    assert_eq!(with(json!(["a", "b"])), Vec::<String>::new());
    assert_eq!(with(json!(["a", "b", "x"])), ["6:15 3 machines are more than 2; raise limit", "9:17 x is reserved"]);
}

#[test]
fn checks_of_an_inlined_workflow_are_made_where_inputs_decide_them() {
    let files = [("inner.yaml", TEXT)];
    let outer = |machines: &str| {
        format!(
            "name: o\ninputs:\n  all: {{type: array}}\nsteps:\n  first: {{uses: test.note.write, with: {{value: '${{{{ inputs.all }}}}'}}}}\n  sub: {{workflow: inner.yaml, with: {{machines: '{machines}'}}}}\n"
        )
    };
    let all = json!({ "all": ["a", "b", "c"] });
    let found = planned(&files, &outer("${{ inputs.all }}"), all.clone());
    assert_eq!(found, ["inner.yaml:6:15 3 machines are more than 2; raise limit"]);
    assert_eq!(planned(&files, &outer("${{ steps.first.outputs.value }}"), all), Vec::<String>::new());
    // In a loop each instance is checked.
    let text = "name: o\ninputs:\n  sites: {type: array}\nsteps:\n  sub: {workflow: inner.yaml, for_each: '${{ inputs.sites }}', as: site, key: '${{ site.name }}', with: {machines: '${{ site.machines }}'}}\n";
    let sites = json!([{"name": "l", "machines": ["a"]}, {"name": "n", "machines": ["x"]}]);
    assert_eq!(planned(&files, text, json!({ "sites": sites })), ["inner.yaml:9:17 x is reserved"]);
}

#[test]
fn mistakes_in_checks_are_found() {
    let with = |check: &str| {
        mistakes(&TEXT.replace("{that: '${{ !(\"x\" in inputs.machines) }}', message: x is reserved}", check))
    };
    assert_eq!(
        with("{that: '${{ inputs.limit }}', message: x}"),
        ["9:17 that must be true or false, this is a whole number"]
    );
    assert_eq!(with("{message: x}"), ["9:5 the check has no that; write {that: ${{ … }}, message: …}"]);
    let run = with("{that: '${{ run.id == \"\" }}', message: x}");
    assert!(run[0].starts_with("9:17 a check can use inputs only; checks are made before the run starts"), "{run:?}");
    assert!(with("{that: '${{ inputs.limits > 1 }}', message: x}")[0].contains("no input \"limits\""));
    assert!(with("yes")[0].contains("a check"));
}
