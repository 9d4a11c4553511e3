use std::sync::Arc;

use serde_json::{Value, json};

use super::fixtures::{
    InlineFiles, StepResults, check_among, checked_among, index, lines, map, mistakes_among, plan_among,
};
use crate::plan::{CompiledPlan, Plan};

const MACHINE: &str = "name: machine
inputs:
  name: {type: string}
  size: {type: integer, default: 4}
  tags: {type: array, items: {type: string}, default: []}
locks:
  - machine/${{ inputs.name }}
steps:
  make:
    uses: net.network.ensure
    with: {name: '${{ inputs.name }}', size: '${{ inputs.size }}'}
  tag:
    uses: test.note.write
    needs: [make]
    for_each: ${{ inputs.tags }}
    as: tag
    with: {value: '${{ inputs.name }} ${{ tag }}'}
outputs:
  id: ${{ steps.make.outputs.id }}
";

const SITE: &str = "name: site
inputs:
  machines: {type: array, items: {type: object}}
  site: {type: string}
steps:
  first: {uses: test.note.write, with: {value: '${{ inputs.site }}'}}
  machine:
    workflow: machine.yaml
    needs: [first]
    for_each: ${{ inputs.machines }}
    as: machine
    key: ${{ machine.name }}
    when: ${{ !has(machine.off) }}
    with:
      name: ${{ inputs.site }}-${{ machine.name }}
      tags: '${{ has(machine.tags) ? machine.tags : [] }}'
  last:
    uses: test.note.write
    with: {value: '${{ steps.machine.outputs }}'}
outputs:
  ids: ${{ steps.machine.outputs }}
  skipped: ${{ steps.machine.skipped }}
";

const FILES: [(&str, &str); 2] = [("machine.yaml", MACHINE), ("site.yaml", SITE)];

fn site(machines: &Value) -> CompiledPlan {
    let plan = plan_among(&FILES, SITE, json!({ "site": "lyon", "machines": machines }));
    // As it is stored and read.
    let json = serde_json::to_string(&plan).expect("JSON");
    CompiledPlan::new(Arc::new(Plan::from_stored(&json, &plan.digest()).expect("the same plan"))).expect("a valid plan")
}

fn needs(plan: &CompiledPlan) -> Vec<(&str, Vec<&str>)> {
    let name = |index: &usize| plan.plan().steps[*index].name.as_str();
    plan.plan().steps.iter().map(|step| (step.name.as_str(), step.needs.iter().map(name).collect())).collect()
}

#[test]
fn each_item_has_an_instance_whose_steps_need_only_each_other() {
    let plan = site(&json!([{"name": "a"}, {"name": "b"}]));
    let expected = [
        ("first", vec![]),
        ("machine[a]/make", vec!["first"]),
        ("machine[a]/tag", vec!["first", "machine[a]/make"]),
        ("machine[b]/make", vec!["first"]),
        ("machine[b]/tag", vec!["first", "machine[b]/make"]),
        ("last", vec!["machine[a]/make", "machine[b]/make"]),
    ];
    assert_eq!(needs(&plan), expected);
    assert_eq!(plan.plan().locks, ["machine/lyon-a", "machine/lyon-b"]);
}

#[test]
fn the_steps_of_an_instance_see_its_item() {
    let plan = site(&json!([{"name": "a", "tags": ["x", "y"]}, {"name": "b", "off": true}]));
    let results = StepResults::default()
        .with(&plan, "first", json!({"value": "x"}))
        .with(&plan, "machine[a]/make", json!({"id": "/a"}))
        .skip(&plan, "machine[b]/make")
        .skip(&plan, "machine[b]/tag");
    let input = |step: &str| plan.input(index(&plan, step), None, &results).expect("an input");
    assert_eq!(input("machine[a]/make"), json!({"name": "lyon-a", "size": 4}));
    let items = plan.items(index(&plan, "machine[a]/tag"), &results).expect("items");
    assert_eq!(items, [("x".to_owned(), json!("x")), ("y".to_owned(), json!("y"))]);
    let when = |step: &str| plan.when(index(&plan, step), &results).expect("a condition");
    assert!(when("machine[a]/make") && !when("machine[b]/make") && !when("machine[b]/tag"));
    // A skipped instance has no outputs.
    let outputs = plan.outputs(&results).expect("outputs");
    assert_eq!(serde_json::to_value(outputs).expect("JSON"), json!({"ids": {"a": {"id": "/a"}}, "skipped": false}));
}

#[test]
fn a_loop_without_items_has_no_steps_and_no_outputs() {
    let plan = site(&json!([]));
    assert_eq!(needs(&plan), [("first", vec![]), ("last", vec![])]);
    let results = StepResults::default().with(&plan, "first", json!({"value": "x"}));
    let outputs = plan.outputs(&results).expect("outputs");
    assert_eq!(serde_json::to_value(outputs).expect("JSON"), json!({"ids": {}, "skipped": true}));
}

#[test]
fn loops_are_nested() {
    let text = "name: all
inputs:
  sites: {type: array, items: {type: object}}
steps:
  site:
    workflow: site.yaml
    for_each: ${{ inputs.sites }}
    as: site
    key: ${{ site.name }}
    with: {site: '${{ site.name }}', machines: '${{ site.machines }}'}
  end: {uses: test.note.write, needs: [site], with: {value: '${{ steps.site.outputs }}'}}
";
    let sites = json!([{"name": "lyon", "machines": [{"name": "a"}]}, {"name": "nice", "machines": [{"name": "a"}, {"name": "b"}]}]);
    let plan = CompiledPlan::new(Arc::new(plan_among(&FILES, text, json!({ "sites": sites })))).expect("a valid plan");
    let names: Vec<_> = plan.plan().steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(
        names.iter().filter(|name| name.ends_with("/make")).collect::<Vec<_>>(),
        [&"site[lyon]/machine[a]/make", &"site[nice]/machine[a]/make", &"site[nice]/machine[b]/make"]
    );
    assert_eq!(plan.plan().locks, ["machine/lyon-a", "machine/nice-a", "machine/nice-b"]);
    let results = StepResults::default();
    let input = |step: &str| plan.input(index(&plan, step), None, &results).expect("an input");
    assert_eq!(input("site[nice]/machine[b]/make"), json!({"name": "nice-b", "size": 4}));
    let end = &plan.plan().steps[index(&plan, "end")];
    assert_eq!(end.needs.len(), names.len() - 1);
}

/// A loop over `machine.yaml` with a literal list of `count` names and further keys.
fn limited(count: usize, more: &str) -> Plan {
    let names: Vec<_> = (0..count).map(|at| format!("m{at}")).collect();
    let text = format!(
        "name: o\nsteps:\n  machine:\n    workflow: machine.yaml\n    for_each: [{}]\n    as: name\n    {more}\n    with: {{name: '${{{{ name }}}}'}}\n",
        names.join(", ")
    );
    plan_among(&FILES, &text, json!({}))
}

/// Returns the numbers of the instances that the first step of each instance waits for.
fn waits(plan: &Plan, list: impl Fn(&crate::plan::PlannedStep) -> &Vec<usize>) -> Vec<Vec<String>> {
    let instance =
        |index: &usize| plan.steps[*index].name.split(']').next().unwrap_or_default().replace("machine[m", "");
    let first = plan.steps.iter().filter(|step| step.name.ends_with("/make"));
    first
        .map(|step| {
            let mut found: Vec<_> = list(step).iter().map(instance).collect();
            found.dedup();
            found
        })
        .collect()
}

#[test]
fn an_instance_waits_for_the_end_of_the_one_that_leaves_it_room() {
    let plan = limited(5, "max_parallel: 2");
    assert_eq!(waits(&plan, |step| &step.after), [vec![], vec![], vec!["0"], vec!["1"], vec!["2"]]);
    assert!(waits(&plan, |step| &step.needs).iter().all(Vec::is_empty));
}

#[test]
fn with_fail_fast_an_instance_needs_those_that_have_to_be_finished() {
    let plan = limited(5, "max_parallel: 2\n    fail_fast: true");
    assert_eq!(waits(&plan, |step| &step.needs), [vec![], vec![], vec!["0"], vec!["0", "1"], vec!["1", "2"]]);
    let plan = limited(3, "max_parallel: 1\n    fail_fast: true");
    assert_eq!(waits(&plan, |step| &step.needs), [vec![], vec!["0"], vec!["1"]]);
}

#[test]
fn with_canary_all_instances_need_the_first_one() {
    let plan = limited(4, "canary: true");
    assert_eq!(waits(&plan, |step| &step.needs), [vec![], vec!["0"], vec!["0"], vec!["0"]]);
    assert!(waits(&plan, |step| &step.after).iter().all(Vec::is_empty));
}

#[test]
fn inputs_can_decide_the_limit() {
    let text = SITE.replace("    when:", "    max_parallel: ${{ inputs.limit }}\n    when:");
    let text = text.replace("inputs:\n", "inputs:\n  limit: {type: integer}\n");
    let inputs = |limit: i64| {
        let names: Vec<_> = (0..3).map(|at| json!({ "name": format!("m{at}") })).collect();
        json!({ "site": "l", "machines": names, "limit": limit })
    };
    let plan = plan_among(&FILES, &text, inputs(2));
    assert_eq!(waits(&plan, |step| &step.after), [vec![], vec![], vec!["0"]]);
    let found = plan_mistakes(&FILES, &text, inputs(0));
    assert_eq!(found, ["14:23 max_parallel must be a whole number of at least 1, this is 0"]);
}

fn plan_mistakes(files: &InlineFiles<'_>, text: &str, inputs: Value) -> Vec<String> {
    match checked_among(files, text).plan(map(inputs)) {
        Ok(plan) => panic!("a plan: {plan:?}"),
        Err(diagnostics) => lines(&diagnostics),
    }
}

#[test]
fn lists_and_keys_are_checked_when_the_inputs_are_known() {
    let two = json!({"site": "l", "machines": [{"name": "a"}, {"name": "a"}]});
    assert_eq!(plan_mistakes(&FILES, SITE, two), ["12:14 two items have the key \"a\", keys must be unique"]);
    let none = json!({"site": "l", "machines": [{}]});
    assert_eq!(plan_mistakes(&FILES, SITE, none), ["12:14 there is no field \"name\""]);
    let brackets = json!({"site": "l", "machines": [{"name": "a[b]"}]});
    assert!(plan_mistakes(&FILES, SITE, brackets)[0].contains("cannot be a key"));
}

#[test]
fn a_list_that_a_step_returns_is_refused() {
    let text = SITE.replace("for_each: ${{ inputs.machines }}", "for_each: ${{ steps.first.outputs.value }}");
    let found = mistakes_among(&FILES, &text.replace("  machines: {type: array, items: {type: object}}\n", ""));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("9:19 a loop over a workflow can use inputs only; its instances are part"),
        "{found:?}"
    );
    // Also through an input of the workflow around it.
    let outer = "name: o\nsteps:\n  list: {uses: test.note.write, with: {value: x}}\n  site:\n    workflow: site.yaml\n    with: {site: l, machines: '${{ steps.list.outputs.value }}'}\n";
    let found = mistakes_among(&FILES, outer);
    assert!(found.iter().any(|line| line.contains("so it can use inputs only")), "{found:?}");
}

#[test]
fn mistakes_of_a_loop_over_a_workflow_are_found_without_inputs() {
    let with = |more: &str| {
        format!(
            "name: o\nsteps:\n  machine:\n    workflow: machine.yaml\n    for_each: [a, b]\n    as: name\n    {more}\n    with: {{name: '${{{{ name }}}}'}}\n"
        )
    };
    assert_eq!(mistakes_among(&FILES, &with("max_parallel: 1")), Vec::<String>::new());
    let check = |more: &str, expected: &str| {
        let found = mistakes_among(&FILES, &with(more));
        assert!(found.len() == 1 && found[0].contains(expected), "{more}: {found:?}");
    };
    check("group: ${{ name }}", "group cannot be used with workflow");
    check("needs_each: []", "needs_each cannot be used with workflow");
    check("canary: 1", "must be true or false");
    check("fail_fast: maybe", "must be true or false");
    check("when: ${{ nam == \"a\" }}", "unknown name \"nam\"; did you mean \"name\"?");
    let missing = "name: o\nsteps:\n  machine: {workflow: machine.yaml, for_each: [a], as: x, with: {}}\n";
    let found = mistakes_among(&FILES, missing);
    assert!(found[0].contains("needs the input \"name\""), "{found:?}");
    check("max_failures: 2", "max_failures cannot be used with workflow");
    let of_an_action = "name: o\nsteps:\n  n: {uses: test.nop.run, fail_fast: true}\n";
    assert!(check_among(&[], of_an_action).is_err());
    let both = "name: o\nsteps:\n  n: {uses: test.nop.run, for_each: [a], as: x, fail_fast: true, max_failures: 2}\n";
    assert!(mistakes_among(&[], both)[0].contains("exclude each other"));
}
