use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::fixtures::{check_among, plan};
use crate::{plan::CompiledPlan, workflow::parse};

/// Dependencies of steps: from, to, and true for a reference or false for `needs`. Steps depend
/// only on earlier ones in `order`, which differs from the order of the file.
#[derive(Debug, Clone)]
struct Graph {
    order: Vec<usize>,
    edges: Vec<(usize, usize, bool)>,
}

fn graphs() -> impl Strategy<Value = Graph> {
    (1_usize..30).prop_flat_map(|count| {
        let order = Just((0..count).collect::<Vec<_>>()).prop_shuffle();
        let edges = prop::collection::vec((0..count, 0..count, any::<bool>()), 0..60);
        (order, edges).prop_map(|(order, edges)| Graph { order, edges })
    })
}

impl Graph {
    fn needs(&self, step: usize) -> Vec<(usize, bool)> {
        let place = |step: usize| self.order.iter().position(|other| *other == step);
        let own = self.edges.iter().filter(|(from, to, _)| *from == step && place(*to) < place(*from));
        own.map(|(_, to, refers)| (*to, *refers)).collect()
    }

    fn text(&self) -> String {
        let steps: Vec<_> = (0..self.order.len()).map(|step| self.step(step)).collect();
        format!("name: w\nsteps:\n{}", steps.concat())
    }

    fn step(&self, step: usize) -> String {
        let needs = self.needs(step);
        let listed: Vec<_> = needs.iter().filter(|(_, refers)| !refers).map(|(to, _)| format!("s{to}")).collect();
        let reference = |(to, _): &(usize, bool)| format!("'${{{{ steps.s{to}.outputs.value }}}}'");
        let values: Vec<_> = needs.iter().filter(|(_, refers)| *refers).map(reference).collect();
        let (listed, values) = (listed.join(", "), values.join(", "));
        format!("  s{step}: {{uses: test.note.write, needs: [{listed}], with: {{value: [{values}]}}}}\n")
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn steps_of_a_plan_follow_their_dependencies(graph in graphs()) {
        let plan = plan(&graph.text(), json!({}));
        prop_assert_eq!(plan.steps.len(), graph.order.len());
        for (at, step) in plan.steps.iter().enumerate() {
            let number: usize = step.name[1..].parse().expect("a number");
            let mut needs: Vec<_> = step.needs.iter().map(|need| plan.steps[*need].name.clone()).collect();
            let mut expected: Vec<_> = graph.needs(number).iter().map(|(to, _)| format!("s{to}")).collect();
            needs.sort();
            expected.sort();
            expected.dedup();
            prop_assert_eq!(needs, expected);
            prop_assert!(step.needs.iter().all(|need| *need < at));
        }
        prop_assert!(CompiledPlan::new(Arc::new(plan)).is_ok());
    }

    #[test]
    fn equal_workflows_give_equal_plans(graph in graphs()) {
        let (one, other) = (plan(&graph.text(), json!({})), plan(&graph.text(), json!({})));
        prop_assert_eq!(one.digest(), other.digest());
        let text = serde_json::to_string(&one).expect("JSON");
        let read: crate::plan::Plan = serde_json::from_str(&text).expect("a plan");
        prop_assert_eq!(read.digest(), one.digest());
    }

    #[test]
    fn a_reversed_edge_is_a_cycle(graph in graphs()) {
        let Some(&(from, to, _)) = graph.edges.iter().find(|(from, to, _)| {
            graph.needs(*from).iter().any(|(need, _)| need == to)
        }) else { return Ok(()) };
        let text = graph.text().replace(&format!("  s{to}: {{uses: test.note.write, needs: ["), &format!("  s{to}: {{uses: test.note.write, needs: [s{from}, "));
        let error = check_among(&[], &text.replace(", ]", "]")).expect_err("a cycle");
        prop_assert!(error.iter().any(|diagnostic| diagnostic.code == "plan::cycle"));
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in ".{0,200}") {
        parse("f", &text);
    }

    #[test]
    fn any_text_as_a_value_is_checked_without_a_panic(value in "[ -~äé\n]{0,60}") {
        super::fixtures::mistakes(&format!("name: w\nsteps:\n  a:\n    uses: test.note.write\n    with:\n      value: {value}\n"));
        super::fixtures::mistakes(&format!("name: w\nsteps:\n  a: {{uses: test.nop.run, when: '${{{{ {value} }}}}'}}\n"));
    }
}
