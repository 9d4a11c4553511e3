use std::sync::Arc;

use serde_json::json;

use super::fixtures::plan_among;
use crate::{
    id::PlanDigest,
    plan::{CompiledPlan, Plan, StoredPlanError},
};

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
    let read = Plan::from_stored(STORED, &plan.digest()).expect("a plan");
    assert_eq!(read, plan);
    assert!(CompiledPlan::new(Arc::new(read)).is_ok(), "the expressions of a stored plan are parsed");
}

#[test]
fn a_stored_plan_that_was_changed_is_refused_with_both_digests() {
    let expected = PlanDigest::from("269dbc57064d5b2d2df76feb53bf03333f4aebfb5ddeaf2e6e62106313ab22bc");
    let reordered = STORED.replace(r#"{"name":"b"}"#, r#"{ "name" : "b" }"#);
    assert!(Plan::from_stored(&reordered, &expected).is_ok());
    let changed = STORED.replace(r#"{"name":"b"}"#, r#"{"name":"c"}"#);
    let error = Plan::from_stored(&changed, &expected).expect_err("it was changed");
    let StoredPlanError::Changed { found, .. } = &error else { panic!("{error}") };
    assert!(error.to_string().contains(found.as_str()) && error.to_string().contains(expected.as_str()), "{error}");
}

#[test]
fn numbers_with_many_digits_do_not_change_the_digest_of_a_plan() {
    let numbers =
        json!([0.1, 1e-7, 123_456_789.123_456_78, 4.940_656_458_412_465e-300, u64::MAX, 0.300_000_000_000_000_04]);
    let text = "name: w\ninputs:\n  who: {type: array}\nsteps:\n  a: {uses: test.nop.run, when: \"${{ size(inputs.who) > 0 }}\"}\n";
    let plan = plan_among(&[], text, json!({ "who": numbers }));
    let stored = serde_json::to_string(&plan).expect("JSON");
    assert!(Plan::from_stored(&stored, &plan.digest()).is_ok());
}
