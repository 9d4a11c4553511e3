use std::sync::Arc;

use serde_json::json;

use super::fixtures::plan_among;
use crate::plan::{CompiledPlan, Plan};

/// A workflow with each thing that a plan can contain.
const OUTER: &str = r#"name: outer
inputs:
  go: {type: boolean, default: true}
  who: {type: array, items: {type: object, properties: {name: {type: string}}}}
  key: {type: string, secret: true, default: "env:KEY"}
locks: ["fixed", "site/${{ inputs.who[0].name }}"]
steps:
  last:
    uses: test.note.write
    with: {value: ["${{ steps.sub.outputs.id }}", "${{ steps.each.outputs }}", {a: 1, b: "x-${{ run.id }}-${{ run.workflow }}"}]}
    retry: {attempts: 3, initial: 1s}
    timeout: 30s
  first: {uses: test.note.write, approval: "Start with ${{ size(inputs.who) }}?", with: {value: "${{ inputs.key }}"}}
  sub:
    workflow: inner.yaml
    needs: [first]
    when: ${{ inputs.go && !steps.first.skipped }}
    with: {name: "n-${{ inputs.who[0].name }}"}
  each:
    uses: test.note.write
    for_each: ${{ inputs.who }}
    as: one
    key: ${{ one.name }}
    max_parallel: 2
    when: ${{ inputs.go }}
    with: {value: "${{ one.name }}"}
  plain: {uses: test.nop.run, for_each: "${{ ['a'] }}", as: item}
outputs:
  id: ${{ steps.sub.outputs.id }}
  text: "${{ inputs.go ? 'yes' : 'no' }} $${{ literal }}"
"#;

const INNER: &str = "name: inner
inputs:
  name: {type: string}
  size: {type: integer, default: 4}
locks: ['network/${{ inputs.name }}']
steps:
  make: {uses: net.network.ensure, with: {name: '${{ inputs.name }}', size: '${{ inputs.size }}'}}
  note: {uses: test.note.write, needs: [make], when: '${{ inputs.size > 3 }}', with: {value: 1}}
outputs:
  id: ${{ steps.make.outputs.id }}
";

/// The plan of these workflows as journals contain it.
const STORED: &str = include_str!("stored_plan.json");

#[test]
fn the_stored_json_of_a_plan_does_not_change() {
    let inputs = json!({"who": [{"name": "b"}, {"name": "a"}]});
    let plan = plan_among(&[("inner.yaml", INNER)], OUTER, inputs);
    assert_eq!(serde_json::to_string(&plan).expect("JSON"), STORED.trim_end());
    assert_eq!(plan.digest().as_str(), "269dbc57064d5b2d2df76feb53bf03333f4aebfb5ddeaf2e6e62106313ab22bc");
    let read: Plan = serde_json::from_str(STORED).expect("a plan");
    assert_eq!(read, plan);
    assert!(CompiledPlan::new(Arc::new(read)).is_ok(), "the expressions of a stored plan are parsed");
}
