use std::collections::BTreeSet;

use stargate_sdk::Nature;

use super::{dependencies::StepDependencies, inlined_workflow::InlinedWorkflow};
use crate::workflow::{Diagnostic, ResultType, Severity};

/// Maximum number of steps of a workflow that is examined, because the time grows with its square.
const MAX_STEPS: usize = 1000;

/// Returns a warning for each step that may write and can start although a step before it has
/// failed.
///
/// It needs that step only through a `for_each` step, which passes no failure on if its list is
/// empty. `dependencies` are those of the workflow's steps, by index.
pub(super) fn hidden_failures(inlined: &InlinedWorkflow, dependencies: &[StepDependencies]) -> Vec<Diagnostic> {
    if dependencies.len() > MAX_STEPS {
        return Vec::new();
    }
    let graph = FailureGraph { inlined, dependencies };
    (0..dependencies.len()).filter_map(|step| graph.warning(step)).collect()
}

/// Steps, and the steps that receive their failures.
struct FailureGraph<'a> {
    inlined: &'a InlinedWorkflow,
    dependencies: &'a [StepDependencies],
}

impl FailureGraph<'_> {
    fn is_loop(&self, step: usize) -> bool {
        self.inlined.body(&self.inlined.steps[step]).for_each.is_some()
    }

    /// True for a loop whose list is not a literal one.
    fn can_be_empty(&self, step: usize) -> bool {
        let list = self.inlined.body(&self.inlined.steps[step]).for_each.as_ref();
        list.is_some_and(|list| list.items.expression.result_type() != ResultType::List)
    }

    /// Returns a warning about the first failure that a loop hides from `step`. A loop itself has
    /// instances only for its items, often those of the loop before it.
    fn warning(&self, step: usize) -> Option<Diagnostic> {
        let action = self.inlined.steps[step].action.as_ref()?;
        if self.is_loop(step) || action.nature() == Nature::Observe {
            return None;
        }
        let needs = &self.dependencies[step].needs;
        let passed_on = self.passed_on(needs);
        let loops = needs.iter().filter(|need| self.can_be_empty(**need));
        let mut hidden = loops.flat_map(|each| self.behind(*each).into_iter().map(|failed| (*each, failed)));
        let (each, failed) = hidden.find(|(_, failed)| !passed_on.contains(failed))?;
        Some(self.describe(step, each, failed))
    }

    /// Returns the steps whose failures reach a step with these needs even if all lists are empty.
    fn passed_on(&self, needs: &BTreeSet<usize>) -> BTreeSet<usize> {
        let (mut found, mut open) = (BTreeSet::new(), needs.iter().copied().collect::<Vec<_>>());
        while let Some(step) = open.pop() {
            if found.insert(step) {
                let dependencies = &self.dependencies[step];
                // A list that cannot be computed fails its loop.
                open.extend(if self.can_be_empty(step) { &dependencies.items } else { &dependencies.needs });
            }
        }
        found
    }

    /// Returns the steps that are not loops and that the instances of a loop need, directly or
    /// through other loops.
    fn behind(&self, each: usize) -> BTreeSet<usize> {
        let (mut found, mut seen, mut open) = (BTreeSet::new(), BTreeSet::new(), vec![each]);
        while let Some(step) = open.pop() {
            if !seen.insert(step) {
                continue;
            }
            if self.can_be_empty(step) {
                open.extend(&self.dependencies[step].needs);
                open.extend(&self.dependencies[step].needs_each);
            } else if !self.inlined.definition(&self.inlined.steps[step]).allow_failure {
                found.insert(step);
            }
        }
        found
    }

    fn describe(&self, step: usize, each: usize, failed: usize) -> Diagnostic {
        let scope = &self.inlined.scopes[self.inlined.steps[step].scope];
        let [this, each, failed] = [step, each, failed].map(|step| self.name(step, &scope.prefix));
        let message = format!(
            "step {this:?} can start although {failed:?} has failed: between them is only the loop {each:?}, which can have no items"
        );
        let hint = format!("add {failed:?} to `needs`, or move {each:?} to `after` if that failure does not matter");
        let span = self.inlined.definition(&self.inlined.steps[step]).name.span;
        Diagnostic::new(&scope.workflow.source, "plan::hidden_failure", span, message, "does not receive the failure")
            .with_hint(hint)
            .with_severity(Severity::Warning)
    }

    /// Returns the name of a step in the plan, without `prefix` if it begins with it.
    fn name(&self, step: usize, prefix: &str) -> String {
        let step = &self.inlined.steps[step];
        let name = self.inlined.scopes[step.scope].full_name(&self.inlined.definition(step).name.value);
        name.strip_prefix(prefix).map_or(name.clone(), str::to_owned)
    }
}
