use super::Plan;

/// A part of a plan that a failure inside it does not leave: what depends on it from outside goes
/// on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureGroup {
    /// A step with `allow_failure`, by its index.
    Step(usize),
    /// A workflow that a step with `allow_failure` inlines, by the index of its scope.
    Scope(usize),
}

impl Plan {
    /// Returns the groups that contain a step, the innermost first. Empty if a failure of the step
    /// fails the run.
    ///
    /// # Panics
    /// The plan has no such step.
    pub fn failure_groups(&self, step: usize) -> Vec<FailureGroup> {
        let planned = &self.steps[step];
        let mut found: Vec<_> = planned.allow_failure.then_some(FailureGroup::Step(step)).into_iter().collect();
        let mut next = Some(planned.scope);
        while let Some(scope) = next {
            found.extend(self.scopes[scope].allow_failure.then_some(FailureGroup::Scope(scope)));
            next = self.scopes[scope].parent;
        }
        found
    }
}
