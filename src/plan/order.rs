use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, HashMap},
};

use super::expand::Expanded;
use crate::workflow::{Diagnostic, Span, Step, Workflow};

/// Every circle of steps that depend on each other, one per group of such steps.
pub(super) fn circles(expanded: &Expanded<'_>) -> Vec<Diagnostic> {
    let mut found: Vec<Diagnostic> = expanded.places.iter().flat_map(|place| circles_of(&place.workflow)).collect();
    found.dedup();
    found
}

// A step's name, and where another step mentions it.
type Edges = Vec<Vec<(usize, Span)>>;

fn circles_of(workflow: &Workflow) -> Vec<Diagnostic> {
    let edges = edges(workflow);
    let mut state = vec![State::New; edges.len()];
    let mut found = Vec::new();
    for start in 0..edges.len() {
        if state[start] == State::New {
            found.extend(search(&edges, start, &mut state).map(|circle| describe(workflow, &circle)));
        }
    }
    found
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    New,
    Open,
    Done,
}

// The first circle that is reachable from `start` over new steps; without recursion, as chains can be long. All that it
// has seen is done afterwards: whatever else is wrong there shows when this circle is mended.
fn search(edges: &Edges, start: usize, state: &mut [State]) -> Option<Vec<(usize, Span)>> {
    let mut path: Vec<(usize, usize)> = vec![(start, 0)];
    state[start] = State::Open;
    let mut circle = None;
    while let Some((step, next)) = path.last_mut() {
        let Some(&(target, span)) = edges[*step].get(*next) else {
            state[*step] = State::Done;
            path.pop();
            continue;
        };
        *next += 1;
        match state[target] {
            State::New => {
                state[target] = State::Open;
                path.push((target, 0));
            }
            State::Open if circle.is_none() => {
                let from = path.iter().position(|(step, _)| *step == target).unwrap_or(0);
                let mut steps: Vec<_> =
                    path[from..].iter().map(|(step, next)| (*step, edges[*step][next - 1].1)).collect();
                if let Some(last) = steps.last_mut() {
                    last.1 = span;
                }
                circle = Some(steps);
            }
            State::Open | State::Done => {}
        }
    }
    circle
}

fn describe(workflow: &Workflow, circle: &[(usize, Span)]) -> Diagnostic {
    let name = |step: usize| workflow.steps[step].name.value.as_str();
    let first = name(circle[0].0);
    let (last, span) = circle[circle.len() - 1];
    let (message, hint) = if circle.len() == 1 {
        (format!("step {first:?} depends on itself"), "a step cannot use what it gives itself".to_owned())
    } else {
        let names: Vec<_> = circle.iter().map(|(step, _)| name(*step)).collect();
        let message = format!("steps depend on each other in a circle: {} → {first}", names.join(" → "));
        (message, "an arrow means \"needs\"; take one of them away".to_owned())
    };
    let label = format!("{:?} needs {first:?} here", name(last));
    Diagnostic::new(&workflow.source, "plan::cycle", span, message, label).with_hint(hint)
}

fn edges(workflow: &Workflow) -> Edges {
    let index: HashMap<&str, usize> =
        workflow.steps.iter().enumerate().map(|(at, step)| (step.name.value.as_str(), at)).collect();
    workflow.steps.iter().map(|step| mentioned(workflow, step, &index)).collect()
}

fn mentioned(workflow: &Workflow, step: &Step, index: &HashMap<&str, usize>) -> Vec<(usize, Span)> {
    let mut found = Vec::new();
    for placed in step.expressions() {
        for reference in placed.expression.references().iter().filter(|reference| reference.root() == "steps") {
            if let Some(&target) = reference.field(1).and_then(|name| index.get(name)) {
                found.push((target, placed.place(&workflow.source, &reference.range())));
            }
        }
    }
    // That a step needs itself is told where its needs are checked.
    let needs = step.needs.iter().filter(|need| need.value != step.name.value);
    found.extend(needs.filter_map(|need| Some((*index.get(need.value.as_str())?, need.span))));
    found
}

/// An order in which every step comes after those it depends on; else as in the file.
///
/// The dependencies must have no circles; steps that are in one would be left out.
pub(super) fn sort(dependencies: &[BTreeSet<usize>]) -> Vec<usize> {
    let mut missing: Vec<usize> = dependencies.iter().map(BTreeSet::len).collect();
    let mut dependents = vec![Vec::new(); dependencies.len()];
    for (step, needs) in dependencies.iter().enumerate() {
        for &need in needs {
            dependents[need].push(step);
        }
    }
    let mut ready: BinaryHeap<_> = (0..missing.len()).filter(|&step| missing[step] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(missing.len());
    while let Some(Reverse(step)) = ready.pop() {
        order.push(step);
        for &dependent in &dependents[step] {
            missing[dependent] -= 1;
            if missing[dependent] == 0 {
                ready.push(Reverse(dependent));
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_come_after_their_dependencies_and_else_as_in_the_file() {
        let needs = |list: &[usize]| list.iter().copied().collect::<BTreeSet<_>>();
        assert_eq!(sort(&[needs(&[2]), needs(&[]), needs(&[]), needs(&[0, 1])]), [1, 2, 0, 3]);
    }
}
