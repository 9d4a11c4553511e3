use std::{collections::HashMap, sync::Arc};

use stargate_sdk::DynAction;

use super::names::{Binding, Resolved, StepNames, Unresolved, resolve};
use crate::workflow::{ActionBody, Patterns, Reference, SpannedExpression, Step, StepBody, Workflow};

/// A workflow together with everything that it inlines, directly and indirectly.
pub(super) struct InlinedWorkflow {
    /// The workflow itself, then each inlined one, in the order of the files.
    pub(super) scopes: Vec<ScopeInstance>,
    /// Steps with an action, in the order of the files.
    pub(super) steps: Vec<ActionStep>,
    /// Bindings of the names of each scope's steps.
    pub(super) bindings: Vec<HashMap<String, Binding>>,
    /// Patterns of the schemas of inputs and actions, compiled.
    pub(super) patterns: Arc<Patterns>,
}

/// One use of a workflow: the one that was checked, or one that a step inlines.
pub(super) struct ScopeInstance {
    pub(super) workflow: Arc<Workflow>,
    /// Text before the names of its steps in the plan: empty, or such as `outer/`.
    pub(super) prefix: String,
    /// Path of its file, relative to the folder of the checked workflow; empty for that one.
    pub(super) file: String,
    /// Scope and index of the step that inlines it.
    pub(super) parent: Option<(usize, usize)>,
}

/// A step with an action.
pub(super) struct ActionStep {
    pub(super) scope: usize,
    /// Index in the steps of its workflow.
    pub(super) index: usize,
    /// `None` if the registry has no such action, which has been reported.
    pub(super) action: Option<Arc<dyn DynAction>>,
}

impl ScopeInstance {
    /// Returns the name that a step of this workflow has in the plan.
    pub(super) fn full_name(&self, step: &str) -> String {
        format!("{}{step}", self.prefix)
    }
}

impl InlinedWorkflow {
    /// Returns the definition of a step.
    pub(super) fn definition(&self, step: &ActionStep) -> &Step {
        &self.scopes[step.scope].workflow.steps[step.index]
    }

    /// Returns the part of a step's definition that concerns its action.
    pub(super) fn body(&self, step: &ActionStep) -> &ActionBody {
        match &self.definition(step).body {
            StepBody::Action(body) => body,
            StepBody::Inline { .. } | StepBody::Unknown => {
                unreachable!("an ActionStep is made from a step with an action")
            }
        }
    }

    /// Returns the step that inlines a scope, with the scope of that step.
    pub(super) fn inliner(&self, scope: usize) -> Option<(usize, &Step)> {
        let (parent, index) = self.scopes[scope].parent?;
        Some((parent, &self.scopes[parent].workflow.steps[index]))
    }

    /// Resolves each reference of an expression of `scope`. A loop variable is
    /// [`Unresolved::Root`].
    pub(super) fn resolve_all<'a>(
        &'a self,
        scope: usize,
        expression: &'a SpannedExpression,
    ) -> impl Iterator<Item = (&'a Reference, Result<Resolved, Unresolved>)> {
        let references = expression.expression.references().iter();
        references.map(move |reference| (reference, resolve(self, scope, None, reference)))
    }
}

impl StepNames for InlinedWorkflow {
    fn binding(&self, scope: usize, name: &str) -> Option<Binding> {
        self.bindings[scope].get(name).copied()
    }
}
