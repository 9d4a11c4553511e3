//! Inputs of steps as far as they are known before other steps have run.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, json};

use super::fixtures::{index, plan};
use crate::plan::{CompiledPlan, EvaluationContext};

/// Outputs of a forecast: those of `a` lack fields.
struct Certain {
    a: Option<Value>,
    undecided: bool,
}

impl EvaluationContext for Certain {
    fn output(&self, _: usize) -> Option<&Value> {
        self.a.as_ref()
    }

    fn is_partial(&self, _: usize) -> bool {
        true
    }

    fn skipped(&self, _: usize) -> bool {
        false
    }

    fn failed(&self, _: usize) -> bool {
        false
    }

    fn is_undecided(&self, _: usize) -> bool {
        self.undecided
    }

    fn run_id(&self) -> &'static str {
        "not started"
    }

    fn run_changed(&self) -> bool {
        false
    }
}

/// Evaluates the input of step `b`, whose value is an expression, if the output of `a` is
/// `certain`.
fn evaluated(certain: Option<Value>, expression: &str) -> (Value, Vec<(String, BTreeSet<usize>)>) {
    let text = format!(
        "name: w\ninputs:\n  key: {{type: string}}\nsteps:\n  a: {{uses: test.note.write, with: {{}}}}\n  b:\n    uses: test.note.write\n    with: {{value: {{known: \"${{{{ inputs.key }}}}\", other: \"{expression}\"}}}}\n"
    );
    let plan = plan(&text, json!({ "key": "k" }));
    let compiled = CompiledPlan::new(Arc::new(plan)).expect("a plan");
    let context = Certain { a: certain.map(|value| json!({ "value": value })), undecided: false };
    let input = compiled.partial_input(index(&compiled, "b"), None, &context).expect("an input");
    assert_eq!(input.value["value"]["known"], "k", "a value that inputs decide is known in any case");
    (input.value["value"]["other"].clone(), input.unknown)
}

fn unknown() -> (Value, Vec<(String, BTreeSet<usize>)>) {
    (Value::Null, vec![("/value/other".to_owned(), BTreeSet::from([0]))])
}

fn known(value: Value) -> (Value, Vec<(String, BTreeSet<usize>)>) {
    (value, Vec::new())
}

#[test]
fn a_value_of_an_unknown_output_does_not_hide_the_others() {
    assert_eq!(evaluated(None, "${{ steps.a.outputs.value.id }}"), unknown());
    assert_eq!(evaluated(None, "text ${{ steps.a.outputs.value.id }} and ${{ inputs.key }}"), unknown());
    assert_eq!(evaluated(None, "text ${{ inputs.key }}"), known(json!("text k")));
}

#[test]
fn a_certain_field_of_an_output_is_known_and_its_others_are_not() {
    let certain = || Some(json!({ "id": "/x", "inner": { "a": 1 } }));
    assert_eq!(evaluated(certain(), "${{ steps.a.outputs.value.id }}"), known(json!("/x")));
    assert_eq!(evaluated(certain(), "at ${{ steps.a.outputs.value.id }}"), known(json!("at /x")));
    assert_eq!(evaluated(certain(), "${{ steps.a.outputs.value.address }}"), unknown());
    assert_eq!(evaluated(certain(), "${{ steps.a.outputs.value }}"), unknown(), "it lacks fields");
    assert_eq!(evaluated(certain(), "${{ steps.a.outputs.value.inner }}"), unknown(), "it may lack fields");
}

#[test]
fn an_unknown_field_is_not_taken_for_an_absent_one() {
    let certain = || Some(json!({ "id": "/x" }));
    let has = "${{ has(steps.a.outputs.value.address) ? steps.a.outputs.value.address : 'none' }}";
    assert_eq!(evaluated(certain(), has), unknown());
    assert_eq!(evaluated(None, has), unknown());
    assert_eq!(evaluated(certain(), "${{ 'address' in steps.a.outputs.value }}"), unknown());
    assert_eq!(evaluated(certain(), "${{ size(steps.a.outputs.value) }}"), unknown());
    assert_eq!(evaluated(certain(), "${{ steps.a.outputs.value[inputs.key] }}"), unknown());
    assert_eq!(evaluated(Some(json!({ "k": "v" })), "${{ steps.a.outputs.value[inputs.key] }}"), known(json!("v")));
}

#[test]
fn an_expression_that_does_not_need_an_unknown_value_is_known() {
    assert_eq!(evaluated(None, "${{ inputs.key == 'k' ? 'yes' : steps.a.outputs.value.id }}"), known(json!("yes")));
}

#[test]
fn a_step_that_may_be_skipped_is_not_taken_for_an_executed_one() {
    let text = "name: w\nsteps:\n  a: {uses: test.nop.run, with: {}}\n  b:\n    uses: test.note.write\n    with: {value: \"${{ steps.a.skipped }}\"}\n";
    let compiled = CompiledPlan::new(Arc::new(plan(text, json!({})))).expect("a plan");
    let input = |undecided| compiled.partial_input(1, None, &Certain { a: None, undecided }).expect("an input");
    assert_eq!(input(false).value["value"], false);
    assert_eq!(input(true).unknown, [("/value".to_owned(), BTreeSet::from([0]))]);
}
