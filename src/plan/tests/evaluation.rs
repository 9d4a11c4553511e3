use std::sync::Arc;

use serde_json::{Value, json};

use super::fixtures::{StepResults, index, plan};
use crate::plan::{CompiledPlan, EvaluateError, Plan, PlanError, Retry};

fn compiled(plan: Plan) -> CompiledPlan {
    CompiledPlan::new(Arc::new(plan)).expect("a valid plan")
}

/// Compiles a workflow with a network, and a note with this value.
fn noting(value: &str) -> CompiledPlan {
    compiled(plan(
        &format!(
            "name: w
inputs:
  count: {{type: integer, default: 41}}
  who: {{type: array, items: {{type: string}}, default: [x, y]}}
steps:
  net: {{uses: net.network.ensure, with: {{name: 'n-${{{{ inputs.count }}}}', prefixes: '${{{{ inputs.who }}}}'}}}}
  note:
    uses: test.note.write
    needs: [net]
    with:
      value: {value}
"
        ),
        json!({}),
    ))
}

fn network() -> Value {
    json!({
        "id": "/n", "name": "n", "size": 7, "private": true, "node_subnet": null, "tags": {"b": "2", "a": "1"},
        "subnets": [{"name": "s", "prefix": "10.0.0.0/24"}], "raw": {"z": 1, "a": [1.5, 18_446_744_073_709_551_615_u64]},
    })
}

fn evaluate(value: &str) -> Result<Value, EvaluateError> {
    let plan = noting(value);
    let results = StepResults::default().with(&plan, "net", network());
    plan.input(index(&plan, "note"), None, &results).map(|input| input["value"].clone())
}

fn check(value: &str, expected: &Value) {
    let found = evaluate(value).unwrap_or_else(|e| panic!("{value}: {e}"));
    // Compared as text, because the order of keys matters too.
    assert_eq!(found.to_string(), expected.to_string(), "{value}");
}

fn check_error(value: &str, expected: &str) {
    let error = evaluate(value).expect_err(value);
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_value_that_is_one_expression_keeps_its_type() {
    check("${{ steps.net.outputs.size }}", &json!(7));
    check("${{ steps.net.outputs.private }}", &json!(true));
    check("${{ steps.net.outputs.subnets }}", &json!([{"name": "s", "prefix": "10.0.0.0/24"}]));
    check("${{ steps.net.outputs.tags }}", &json!({"b": "2", "a": "1"}));
    check("${{ steps.net.outputs.node_subnet }}", &json!(null));
    check("${{ steps.net.outputs.raw.a[0] }}", &json!(1.5));
    check("${{ run.id }}", &json!("01RUN"));
    check("${{ run.workflow }}", &json!("w"));
    check("{a: 1, b: ['x', '${{ inputs.count }}']}", &json!({"a": 1, "b": ["x", 41]}));
}

#[test]
fn expressions_in_a_text_become_text() {
    check("x-${{ inputs.count }}-${{ steps.net.outputs.private }}${{ run.id }}", &json!("x-41-true01RUN"));
    check("$${{ run.id }}", &json!("${{ run.id }}"));
}

#[test]
fn arithmetic_works_on_whole_numbers() {
    check("${{ inputs.count + 1 }}", &json!(42));
    check("${{ steps.net.outputs.size * 2 > 13 }}", &json!(true));
    check("${{ steps.net.outputs.raw.a[1] > 5u }}", &json!(true));
    check("${{ double(inputs.count) / 2.0 }}", &json!(20.5));
}

#[test]
fn lists_and_maps_are_converted_to_cel_and_back() {
    check("${{ inputs.who.map(w, w + '!') }}", &json!(["x!", "y!"]));
    check("${{ inputs.who.filter(w, w != 'x').map(w, w + '!') }}", &json!(["y!"]));
    check("${{ inputs.who.exists(w, w == 'y') && !('z' in inputs.who) }}", &json!(true));
    check("\"${{ {'b': steps.net.outputs.tags, 'a': null} }}\"", &json!({"a": null, "b": {"a": "1", "b": "2"}}));
    check("${{ steps.net.outputs.subnets.filter(s, s.prefix.startsWith('10.'))[0].name }}", &json!("s"));
    check(
        "\"${{ steps.net.outputs.node_subnet == null ? 'none' : steps.net.outputs.node_subnet.name }}\"",
        &json!("none"),
    );
    check("${{ has(steps.net.outputs.raw.z) && !has(steps.net.outputs.raw.y) }}", &json!(true));
    check("${{ size(steps.net.outputs.tags) + steps.net.outputs.tags.size() }}", &json!(4));
}

#[test]
fn a_value_whose_size_is_read_is_complete_if_more_of_it_is_read() {
    check("${{ size(steps.net.outputs.subnets) + size(steps.net.outputs) }}", &json!(9));
    check("${{ size(steps.net.outputs.subnets) == 1 && steps.net.outputs.subnets[0].name == 's' }}", &json!(true));
    check("${{ steps.net.outputs.tags.a == '1' && steps.net.outputs.tags.size() == 2 }}", &json!(true));
    check("${{ size(steps.net.outputs.subnets[0]) + size(steps.net.outputs.subnets) }}", &json!(3));
    check("${{ size(steps.net.outputs) > 1 && steps.net.outputs.tags.a == '1' }}", &json!(true));
}

#[test]
fn an_error_names_the_step_and_the_expression() {
    check_error(
        "${{ steps.net.outputs.raw.nope }}",
        "step \"note\": ${{ steps.net.outputs.raw.nope }}: there is no field \"nope\"",
    );
    check_error(
        "${{ steps.net.outputs.subnets[3].name }}",
        "step \"note\": ${{ steps.net.outputs.subnets[3].name }}: the list has 1 items, there is no [3]",
    );
    check_error(
        "${{ 1 / (inputs.count - 41) }}",
        "step \"note\": ${{ 1 / (inputs.count - 41) }}: Division by zero of Int(1)",
    );
    check_error(
        "${{ inputs.count + 'a' }}",
        "step \"note\": ${{ inputs.count + 'a' }}: Unsupported binary operator 'add': Int(41), String(\"a\")",
    );
    check_error(
        "a${{ steps.net.outputs.raw }}",
        "step \"note\": ${{ steps.net.outputs.raw }}: a map cannot be part of a text",
    );
    check_error("${{ b'x' }}", "step \"note\": ${{ b'x' }}: its value has the type bytes, which JSON does not have");
}

#[test]
fn a_literal_input_is_unchanged() {
    let plan = noting("{a: [1, null, 'x']}");
    let input = plan.input(index(&plan, "note"), None, &StepResults::default()).expect("a literal needs no values");
    assert_eq!(input, json!({"value": {"a": [1, null, "x"]}}));
}

#[test]
fn an_expression_with_the_output_of_a_skipped_step_fails_with_its_name() {
    let plan = noting("${{ steps.net.outputs.size }}");
    let results = StepResults::default().skip(&plan, "net");
    let error = plan.input(index(&plan, "note"), None, &results).expect_err("skipped");
    let expected = "step \"note\": ${{ steps.net.outputs.size }}: step \"net\" was skipped and has no outputs";
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.skipped_step(), Some(index(&plan, "net")));
}

#[test]
fn missing_outputs_are_not_empty_maps() {
    let plan = noting("\"${{ {'a': steps.net.outputs} == {'a': {}} }}\"");
    let note = index(&plan, "note");
    plan.input(note, None, &StepResults::default()).expect_err("not known yet");
    let error = plan.input(note, None, &StepResults::default().skip(&plan, "net")).expect_err("skipped");
    assert_eq!(error.skipped_step(), Some(index(&plan, "net")));
}

#[test]
fn an_expression_can_test_if_a_step_was_skipped() {
    let plan = noting("\"${{ steps.net.skipped ? 0 : steps.net.outputs.size }}\"");
    let note = index(&plan, "note");
    let skipped = StepResults::default().skip(&plan, "net");
    assert_eq!(plan.input(note, None, &skipped).expect("a value"), json!({"value": 0}));
    let done = StepResults::default().with(&plan, "net", network());
    assert_eq!(plan.input(note, None, &done).expect("a value"), json!({"value": 7}));
    let plan = noting("${{ steps.net.outputs.size + 1 }}");
    let error = plan.input(note, None, &StepResults::default().skip(&plan, "net")).expect_err("skipped");
    assert_eq!(error.skipped_step(), Some(index(&plan, "net")));
}

fn looping() -> CompiledPlan {
    compiled(plan(
        "name: w
inputs:
  who: {type: array, items: {type: object, properties: {name: {type: string}, ip: {type: string}}}}
steps:
  each:
    uses: test.note.write
    for_each: ${{ inputs.who }}
    as: one
    key: ${{ one.name }}
    max_parallel: 2
    when: ${{ size(inputs.who) > 0 }}
    with: {value: '${{ one.ip }} in ${{ run.id }}'}
  after:
    uses: test.note.write
    with: {value: '${{ steps.each.outputs[\"b\"].value }}'}
outputs:
  all: ${{ steps.each.outputs }}
  b: ${{ steps.each.outputs.b.value }}
",
        json!({"who": [{"name": "b", "ip": "1"}, {"name": "a", "ip": "2"}]}),
    ))
}

#[test]
fn a_loop_has_one_instance_for_each_item() {
    let plan = looping();
    let each = index(&plan, "each");
    let items = plan.items(each, &StepResults::default()).expect("items");
    assert_eq!(items, [("b".into(), json!({"name": "b", "ip": "1"})), ("a".into(), json!({"name": "a", "ip": "2"}))]);
    assert!(plan.when(each, &StepResults::default()).expect("a condition"));
    let input = plan.input(each, Some(&items[1].1), &StepResults::default()).expect("an input");
    assert_eq!(input, json!({"value": "2 in 01RUN"}));
    assert_eq!(plan.plan().steps[each].for_each.as_ref().and_then(|each| each.max_parallel), Some(2));
}

#[test]
fn the_outputs_of_a_loop_are_a_map_by_key() {
    let plan = looping();
    let results = StepResults::default().with(&plan, "each", json!({"b": {"value": 5}, "a": {"value": 6}}));
    let after = index(&plan, "after");
    assert_eq!(plan.input(after, None, &results).expect("an input"), json!({"value": 5}));
    let outputs = plan.outputs(&results).expect("outputs");
    assert_eq!(
        serde_json::to_value(outputs).expect("JSON"),
        json!({"all": {"b": {"value": 5}, "a": {"value": 6}}, "b": 5})
    );
}

#[test]
fn an_output_that_needs_a_skipped_step_is_null() {
    let plan = looping();
    let outputs = plan.outputs(&StepResults::default().skip(&plan, "each")).expect("outputs");
    assert_eq!(serde_json::to_value(outputs).expect("JSON"), json!({"all": null, "b": null}));
}

fn items(text: &str, list: &Value) -> String {
    let text = format!(
        "name: w\ninputs:\n  list: {{type: array}}\nsteps:\n  a:\n    uses: test.note.write\n    for_each: ${{{{ inputs.list }}}}\n    as: x\n{text}"
    );
    let plan = compiled(plan(&text, json!({"list": list})));
    match plan.items(0, &StepResults::default()) {
        Ok(items) => items.into_iter().map(|(key, _)| key).collect::<Vec<_>>().join(" "),
        Err(error) => error.to_string(),
    }
}

#[test]
fn keys_are_unique_text_or_numbers() {
    assert_eq!(items("", &json!(["a", 1, true])), "a 1 true");
    let twice = "step \"a\": ${{ x }}: two items have the key \"b\", keys must be unique";
    assert_eq!(items("", &json!(["b", "a", "b"])), twice);
    assert_eq!(items("", &json!([{}])), "step \"a\": ${{ x }}: a key must be text or a number, this is a map");
    let rule = "a key has 1 to 200 bytes and neither brackets nor control characters";
    assert_eq!(items("", &json!(["a[b]"])), format!("step \"a\": ${{{{ x }}}}: \"a[b]\" cannot be a key: {rule}"));
    assert_eq!(items("    key: ${{ 'k' + x }}\n", &json!(["a", "b"])), "ka kb");
}

#[test]
fn a_plan_keeps_its_digest_when_stored() {
    let plan = looping().plan().clone();
    let text = serde_json::to_string(&plan).expect("JSON");
    let again: Plan = serde_json::from_str(&text).expect("a plan");
    assert_eq!((&again, again.digest()), (&plan, plan.digest()));
    assert_eq!(plan.digest().as_str().len(), 64);
}

#[test]
fn the_digest_does_not_depend_on_the_order_in_which_inputs_are_given() {
    let text = "name: w\ninputs:\n  a: {type: object}\nsteps:\n  s: {uses: test.note.write, with: {value: '${{ inputs.a }}'}}\n";
    let one = plan(text, json!({"a": {"x": 1, "y": 2}}));
    let other = plan(text, json!({"a": {"y": 2, "x": 1}}));
    assert_eq!(one.digest(), other.digest());
    assert_ne!(one.digest(), plan(text, json!({"a": {"x": 1, "y": 3}})).digest());
}

const FORMAT_1: &str = r#"{"format":1,"workflow":"w","inputs":{"a":1},"scopes":[{"prefix":"","workflow":"w","parent":null,"inputs":[],"outputs":[]}],"steps":[{"name":"r","action":"test.nop.run","version":3,"recovery":"ask","with":{"literal":{}},"timeout_ms":1},{"name":"s","action":"test.note.write","version":3,"recovery":"find","with":{"map":[["value",{"text":[{"literal":"x"},{"expression":{"source":"inputs.a","scope":0}}]}],["list",{"list":[{"literal":1},{"expression":{"source":"1 + 1","scope":0}}]}]]},"needs":[0],"when":{"source":"true","scope":0,"and":{"source":"1 < 2","scope":0}},"for_each":{"items":{"source":"[1]","scope":0},"variable":"v","key":{"source":"v","scope":0},"max_parallel":null},"retry":{"attempts":3,"initial_ms":500,"factor":2.0,"max_ms":30000,"budget_ms":600000}}],"outputs":[]}"#;

#[test]
fn a_plan_of_format_1_is_read() {
    let plan: Plan = serde_json::from_str(FORMAT_1).expect("a plan");
    assert_eq!(serde_json::to_string(&plan).expect("JSON"), FORMAT_1);
    assert_eq!(plan.digest().as_str(), "11dca6067b990e19c8be100af012bf946a7c0ae3ebdaa65f762a049e89c563ce");
    // The meaning of omitted fields must never change under this format.
    let left_out = (plan.steps[0].retry.clone(), plan.steps[0].scope, plan.steps[0].needs.len());
    let retry = Retry { attempts: 10, initial_ms: 500, factor: 2.0, max_ms: 30_000, budget_ms: 600_000 };
    assert_eq!(left_out, (retry, 0, 0));
    assert_eq!(plan.steps[1].timeout_ms, 600_000);
    let plan = compiled(plan);
    assert!(plan.when(1, &StepResults::default()).expect("a condition"));
    assert_eq!(plan.input(1, None, &StepResults::default()).expect("an input"), json!({"value": "x1", "list": [1, 2]}));
}

#[test]
fn an_approval_is_computed_and_needs_format_2() {
    let text = "name: w\ninputs: {a: {type: string}}\nsteps:\n  s: {uses: test.nop.run, approval: 'Do ${{ inputs.a }}?'}\n  t: {uses: test.nop.run, approval: '${{ inputs.a }}'}\n";
    let asking = plan(text, json!({"a": " "}));
    assert_eq!(asking.format, 2);
    let asking = compiled(asking);
    let asked = |step| asking.approval(step, &StepResults::default()).expect("a question");
    assert_eq!((asked(0), asked(1)), (Some("Do  ?".into()), None));
    let silent = "name: w\nsteps:\n  s: {uses: test.nop.run}\n";
    assert_eq!(plan(silent, json!({})).format, 1, "older programs can resume it");
}

#[test]
fn a_damaged_plan_is_refused() {
    let good = looping().plan().clone();
    let new = |plan: Plan| CompiledPlan::new(Arc::new(plan)).err().map(|e| e.to_string()).unwrap_or_default();
    let mut plan = good.clone();
    plan.format = 6;
    assert_eq!(new(plan), "the plan has format 6, this program reads formats up to 5");
    let mut plan = good.clone();
    plan.steps[0].needs = vec![1];
    assert_eq!(new(plan), "the plan is damaged: step \"each\" depends on a step that comes after it");
    let mut plan = good.clone();
    plan.steps[0].scope = 7;
    assert_eq!(new(plan), "the plan is damaged: step \"each\" has no scope");
    let mut plan = good;
    plan.steps[0].name = "other".into();
    let error = CompiledPlan::new(Arc::new(plan)).err().expect("a reference without target");
    assert!(matches!(error, PlanError::Expression { .. }), "{error}");
}

/// A network whose output was redacted before it was stored.
fn redacted_network() -> Value {
    let mut network = network();
    network["name"] = json!("a long prefix, «secret», and é long suffix");
    network["tags"] = json!({"a": "*** System restart required ***", "«secret»": "1"});
    network
}

#[test]
fn a_step_cannot_read_an_output_that_hides_a_secret() {
    let refused = |value: &str| {
        let plan = noting(value);
        let results = StepResults::default().with(&plan, "net", redacted_network());
        plan.input(index(&plan, "note"), None, &results).map_err(|error| error.to_string())
    };
    for value in [
        "${{ steps.net.outputs.name }}",
        "x-${{ steps.net.outputs.name }}",
        "${{ steps.net.outputs.name == 'abc' }}",
        "${{ steps.net.outputs.tags }}",
        "${{ size(steps.net.outputs.tags) }}",
    ] {
        let error = refused(value).expect_err(value);
        assert!(error.contains("a secret is part of its value"), "{error}");
    }
    let error = refused("${{ steps.net.outputs.name }}").expect_err("hidden");
    assert!(error.contains(r#", "a long prefix, «secret», and é long suf…","#), "{error}");
    for value in ["${{ steps.net.outputs.tags.a }}", "${{ steps.net.outputs.size + 1 }}", "${{ steps.net.outputs.id }}"]
    {
        refused(value).expect(value);
    }
}

#[test]
fn an_output_that_hides_a_secret_can_be_shown() {
    let plan = compiled(plan(
        "name: w
steps:
  net: {uses: net.network.ensure, with: {name: n, prefixes: [x]}}
  note:
    uses: test.note.write
    needs: [net]
    approval: 'write ${{ steps.net.outputs.name }}?'
    with: {value: 1}
outputs:
  name: ${{ steps.net.outputs.name }}
",
        json!({}),
    ));
    let results = StepResults::default().with(&plan, "net", redacted_network());
    assert_eq!(plan.outputs(&results).expect("shown")["name"], "a long prefix, «secret», and é long suffix");
    let question = plan.approval(index(&plan, "note"), &results).expect("shown");
    assert_eq!(question.as_deref(), Some("write a long prefix, «secret», and é long suffix?"));
}
