//! Lists of `for_each` steps that are evaluated again when a run is resumed.

use serde_json::json;
use stargate::{event::EventKind, plan::Template};

use crate::{
    calls_after_interruption,
    support::{self, Act, Harness, expression, plan, step},
};

#[tokio::test]
async fn a_resumed_run_evaluates_lists_again_and_reports_what_an_item_that_is_gone_has_changed() {
    let harness = Harness::new().await;
    let list = |items: &[&str]| Act::Return(json!(items));
    harness.script.will("read", [list(&["changed", "kept", "untouched"]), list(&["kept", "new"])]);
    harness.script.will("each[untouched]", [Act::Return(json!(null))]);
    let mut each = support::each("each", &[0]);
    each.for_each.as_mut().unwrap().items = expression("steps.read.outputs.value");
    each.with = Template::Map(vec![("value".into(), Template::Expression(expression("item")))]);
    let steps = vec![step("read", "test.observe", &[]), each, step("last", "test.ensure", &[1])];
    let calls = calls_after_interruption(&harness, plan(steps), "last").await;

    let ends = [calls.first(), calls.last()].map(|call| call.map(String::as_str));
    assert_eq!(ends, [Some("run read"), Some("run last")], "{calls:?}");
    let mut instances: Vec<&str> = calls[1..calls.len() - 1].iter().map(String::as_str).collect();
    instances.sort_unstable();
    assert_eq!(instances, ["run each[kept]", "run each[new]"]);
    let events = harness.events.0.lock().unwrap();
    let expanded = events.iter().filter_map(|event| match &event.kind {
        EventKind::StepExpanded { instances, dropped, .. } => Some((instances.len(), dropped.clone())),
        _ => None,
    });
    let dropped = vec!["each[changed]".to_owned()];
    assert_eq!(expanded.collect::<Vec<_>>(), [(3, vec![]), (2, dropped)], "an item without a change is not reported");
}
