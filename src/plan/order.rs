use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, HashMap},
};

use super::inlined_workflow::InlinedWorkflow;
use crate::workflow::{Diagnostic, Span, Step, Workflow};

/// Returns an error for each cycle of steps that depend on each other; one per group of connected
/// cycles.
pub(super) fn cycles(inlined: &InlinedWorkflow) -> Vec<Diagnostic> {
    let scopes = inlined.scopes.iter();
    let mut found: Vec<Diagnostic> = scopes.flat_map(|scope| cycles_of(&scope.workflow)).collect();
    found.dedup();
    found
}

/// For each step the steps that it needs, with the spans that name them.
type Edges = Vec<Vec<(usize, Span)>>;

fn cycles_of(workflow: &Workflow) -> Vec<Diagnostic> {
    let edges = edges(workflow);
    let mut state = vec![SearchState::New; edges.len()];
    let mut found = Vec::new();
    for start in 0..edges.len() {
        if state[start] == SearchState::New {
            found.extend(search(&edges, start, &mut state).map(|cycle| describe(workflow, &cycle)));
        }
    }
    found
}

/// State of a step in the search for cycles.
#[derive(Clone, Copy, PartialEq)]
enum SearchState {
    /// The step was not reached yet.
    New,
    /// The step is on the current path.
    Open,
    /// All steps that it leads to were searched.
    Done,
}

/// Returns the first cycle that can be reached from `start` over new steps, without recursion, as
/// chains can be long.
///
/// All steps that were reached are done afterwards: a second cycle among them is found when the
/// first one is fixed.
fn search(edges: &Edges, start: usize, state: &mut [SearchState]) -> Option<Vec<(usize, Span)>> {
    let mut path: Vec<(usize, usize)> = vec![(start, 0)];
    state[start] = SearchState::Open;
    let mut cycle = None;
    while let Some((step, next)) = path.last_mut() {
        let Some(&(target, span)) = edges[*step].get(*next) else {
            state[*step] = SearchState::Done;
            path.pop();
            continue;
        };
        *next += 1;
        match state[target] {
            SearchState::New => {
                state[target] = SearchState::Open;
                path.push((target, 0));
            }
            SearchState::Open if cycle.is_none() => {
                let from = path.iter().position(|(step, _)| *step == target).unwrap_or(0);
                let mut steps: Vec<_> =
                    path[from..].iter().map(|(step, next)| (*step, edges[*step][next - 1].1)).collect();
                if let Some(last) = steps.last_mut() {
                    last.1 = span;
                }
                cycle = Some(steps);
            }
            SearchState::Open | SearchState::Done => {}
        }
    }
    cycle
}

/// Creates the error for a cycle, at the reference that closes it.
fn describe(workflow: &Workflow, cycle: &[(usize, Span)]) -> Diagnostic {
    let name = |step: usize| workflow.steps[step].name.value.as_str();
    let first = name(cycle[0].0);
    let (last, span) = cycle[cycle.len() - 1];
    let (message, hint) = if cycle.len() == 1 {
        (format!("step {first:?} depends on itself"), "a step cannot use its own outputs".to_owned())
    } else {
        let names: Vec<_> = cycle.iter().map(|(step, _)| name(*step)).collect();
        let message = format!("steps depend on each other in a cycle: {} → {first}", names.join(" → "));
        (message, "an arrow means \"needs\"; remove one of them".to_owned())
    };
    let label = format!("{:?} needs {first:?} here", name(last));
    Diagnostic::new(&workflow.source, "plan::cycle", span, message, label).with_hint(hint)
}

/// Returns the dependencies between the steps of one file. Inlined workflows are single nodes here.
fn edges(workflow: &Workflow) -> Edges {
    let index: HashMap<&str, usize> =
        workflow.steps.iter().enumerate().map(|(at, step)| (step.name.value.as_str(), at)).collect();
    workflow.steps.iter().map(|step| mentioned(workflow, step, &index)).collect()
}

/// Returns the steps that one step refers to or lists in `needs`.
fn mentioned(workflow: &Workflow, step: &Step, index: &HashMap<&str, usize>) -> Vec<(usize, Span)> {
    let mut found = Vec::new();
    for expression in step.expressions() {
        for reference in expression.expression.references() {
            if let Some(&target) = reference.step_name().and_then(|name| index.get(name)) {
                found.push((target, expression.span_of(&workflow.source, &reference.range())));
            }
        }
    }
    // A step that lists itself is reported by the check of the lists.
    let listed = [&step.needs, &step.after, &step.needs_each].into_iter().flatten();
    let needs = listed.filter(|need| need.value != step.name.value);
    found.extend(needs.filter_map(|need| Some((*index.get(need.value.as_str())?, need.span))));
    found
}

/// Returns an order in which each step follows those it depends on; otherwise the order of the
/// file.
///
/// The dependencies must have no cycles: the steps of a cycle would be omitted.
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
